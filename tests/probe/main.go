// Command probe runs inside containers and tells the tests what a process there can see and do.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: probe COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "probe: unknown command %s\n", os.Args[1])
	os.Exit(2)
}
