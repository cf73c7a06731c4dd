//go:build cgo

// The seccomp helper: reads a ruleset from standard input, has libseccomp
// compile it, writes the program to standard output. It is embedded in onggi
// (see package seccomp), and no use by itself.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/libseccomp"
	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// maxSeconds of processor time end a helper whose parent, which has a deadline,
// died first.
const maxSeconds = 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	limit := unix.Rlimit{Cur: maxSeconds, Max: maxSeconds}
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &limit); err != nil {
		return fmt.Errorf("setrlimit RLIMIT_CPU %d: %w", maxSeconds, err)
	}
	set, err := ruleset.ReadSet(os.Stdin)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	program, err := libseccomp.Build(set)
	return ruleset.WriteReply(os.Stdout, program, err)
}
