package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Threshold is a pressure to be told about: Stall or more of waiting within a
// Window, by some of the tasks or, with Full, by all at the same time.
type Threshold struct {
	Resource string // "cpu", "memory", "io"
	Full     bool
	Stall    time.Duration
	Window   time.Duration
}

// PressureWatch is a threshold that the kernel watches (psi.rst, "Monitoring
// for pressure thresholds"). Its owner polls it beside other descriptors.
type PressureWatch struct {
	Threshold
	file notify
}

// WatchPressure begins to watch. The kernel announces a threshold at most once
// in a window.
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

// trigger is "some 150000 1000000": microseconds of stall and of the window.
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

// PollFd is ready, with POLLPRI, when the threshold was reached; with POLLERR
// when the cgroup is gone.
func (w *PressureWatch) PollFd() unix.PollFd { return w.file.pollFd() }

// Read is the pressure now.
func (w *PressureWatch) Read() (*Pressures, error) {
	text, err := w.file.read()
	if err != nil {
		return nil, err
	}
	return parsePressures(text), nil
}

// Close ends the watch.
func (w *PressureWatch) Close() { w.file.close() }
