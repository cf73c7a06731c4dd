// Pack packs standard input, an executable, for package packed: a tool of the
// build.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/onggi-dev/onggi/internal/helper/packed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run() error {
	bytes, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(packed.Pack(bytes))
	return err
}
