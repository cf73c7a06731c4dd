package remote

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain fails the run if a stub or a descriptor is left at its end.
func TestMain(m *testing.M) {
	// The stubs must not inherit the descriptors that this process was started with.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	startPoller()
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

// startPoller makes the Go runtime open its permanent descriptors.
func startPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	r.Close()
	w.Close()
}

// openFiles counts this process's descriptors, without the one used for counting.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries) - 1
}

// keepsDescriptors checks that the number of descriptors at the end of the test is the present one.
func keepsDescriptors(t *testing.T) {
	t.Helper()
	before := openFiles()
	t.Cleanup(func() {
		if n := openFiles(); n != before {
			t.Errorf("%d descriptors were open before, %d are after", before, n)
		}
	})
}

// isUp waits until the stub runs. Start does not wait for that.
func isUp(t *testing.T, s *Stub) {
	t.Helper()
	var b Batch
	b.Umask(0)
	do(t, s, &b)
}
