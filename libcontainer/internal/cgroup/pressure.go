package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Threshold is a pressure to report: tasks waited for Stall or longer within a
// Window. Some tasks waiting is enough; with Full all must wait at the same time.
type Threshold struct {
	Resource string // "cpu", "memory", "io"
	Full     bool
	Stall    time.Duration
	Window   time.Duration
}

// PressureWatch is a threshold watched by the kernel (psi.rst, "Monitoring for
// pressure thresholds"). Its owner polls PollFd beside other descriptors.
type PressureWatch struct {
	Threshold
	file notify
}

// WatchPressure starts a watch. The kernel reports a threshold at most once in a
// window.
func (p Paths) WatchPressure(t Threshold) (*PressureWatch, error) {
	if p.Unified == nil {
		return nil, fmt.Errorf("pressure needs a cgroup2 hierarchy: %w", ErrNoController)
	}
	path := p.Unified.Abs() + "/" + t.Resource + ".pressure"
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDWR)
	if err != nil {
		return nil, &FileError{Op: "open", Path: path, Hint: pressureHint(err), Err: err}
	}
	w := &PressureWatch{t, notify{fd, path}}
	trigger := t.trigger()
	if err := writeAll(fd, trigger); err != nil {
		w.Close()
		return nil, &FileError{Op: "write", Path: path, Value: trigger, Hint: pressureHint(err), Err: err}
	}
	return w, nil
}

// trigger returns the kernel's form of t: "some 150000 1000000", with stall and
// window in microseconds.
func (t Threshold) trigger() string {
	kind := "some"
	if t.Full {
		kind = "full"
	}
	return fmt.Sprintf("%s %d %d", kind, t.Stall.Microseconds(), t.Window.Microseconds())
}

func pressureHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return "this kernel does not account pressure (CONFIG_PSI, psi=1, cgroup.pressure)"
	case errors.Is(err, unix.EINVAL):
		return "the window must be 500 ms to 10 s and the stall less; without CAP_SYS_RESOURCE the window must be a multiple of 2 s"
	}
	return ""
}

// PollFd returns the descriptor to poll. It reports POLLPRI after the threshold was
// reached, and POLLERR once the cgroup has been removed.
func (w *PressureWatch) PollFd() unix.PollFd { return w.file.pollFd() }

// Read returns the present pressure.
func (w *PressureWatch) Read() (*Pressures, error) {
	text, err := w.file.read()
	if err != nil {
		return nil, err
	}
	return parsePressures(text), nil
}

// Close ends the watch.
func (w *PressureWatch) Close() { w.file.close() }
