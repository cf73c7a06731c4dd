//go:build cgo

// Without this setting, the Go runtime reads the cgroup's CPU limit now and then,
// from a descriptor that main closes.
//go:debug updatemaxprocs=0

// The helper is a program of its own. It reads a request from standard input and
// writes the reply to standard output. `make` embeds it in onggi.
package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/answer"
	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	// The helper must not have the descriptors that its parent keeps for a container (--preserve-fds).
	if err := unix.CloseRange(3, math.MaxUint32, 0); err != nil {
		return os.NewSyscallError("close_range", err)
	}
	if err := bound(); err != nil {
		return err
	}
	request, err := io.ReadAll(io.LimitReader(os.Stdin, wire.MaxRequest+1))
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if len(request) > wire.MaxRequest {
		return fmt.Errorf("request: more than %d bytes", wire.MaxRequest)
	}
	if _, err := os.Stdout.Write(answer.Answer(request)); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}

// bound limits time and memory. The parent has a deadline; the limit of time ends
// a helper whose parent died first. Go ignores the signal of the soft limit, so
// the hard limit is the same. The limit of memory is RLIMIT_DATA, for private
// writable memory: the Go runtime reserves more addresses than RLIMIT_AS would
// allow, and uses few of them.
func bound() error {
	const seconds, memory = 20, 512 << 20
	return errors.Join(limit(unix.RLIMIT_CPU, seconds), limit(unix.RLIMIT_DATA, memory))
}

// limit lowers a limit. A lower limit stays as it is.
func limit(resource int, most uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	l.Max = min(l.Max, most)
	l.Cur = min(l.Cur, l.Max)
	return os.NewSyscallError("setrlimit", unix.Setrlimit(resource, &l))
}
