package engine

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain fails the run if a process or a descriptor is left over.
func TestMain(m *testing.M) {
	// Children of the tests must not inherit the descriptors of this process.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	r, w, err := os.Pipe() // starts the poller of the Go runtime, which keeps descriptors
	if err != nil {
		panic(err)
	}
	r.Close()
	w.Close()
	before := openFiles()
	code := m.Run()
	if n := openFiles(); code == 0 && n > before {
		fmt.Fprintf(os.Stderr, "%d descriptors were open at the start, %d are at the end\n", before, n)
		code = 1
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); code == 0 && err != unix.ECHILD {
		fmt.Fprintf(os.Stderr, "a child is left: wait4 = %d, %v\n", pid, err)
		code = 1
	}
	os.Exit(code)
}

// openFiles counts this process's descriptors, without the one for counting.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries) - 1
}
