package cgroup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoController: this host does not account the resource to be watched.
var ErrNoController = errors.New("not accounted on this host")

// OOMWatch reports OOM kills in the cgroup and below. Its owner polls PollFd beside
// other descriptors, and then reads the number of kills.
type OOMWatch struct {
	file  notify // memory.events; memory.oom_control on v1
	event int    // v1: an eventfd; -1 on v2
	last  OOM    // v2: the counters of the last read
}

// OOM counts the events since the last read.
type OOM struct {
	// Count is the number of killed processes. On v1 the kernel announces only
	// that it is about to choose victims. Each announcement counts as one, even
	// if the OOM killer is disabled and no process dies.
	Count uint64
	Group uint64 // kills of a whole cgroup (v2, memory.oom.group)
}

// WatchOOM starts a watch. It returns ErrNoController if memory is not accounted.
func (p Paths) WatchOOM() (*OOMWatch, error) {
	d, ok := p.find("memory")
	if !ok {
		return nil, fmt.Errorf("memory: %w", ErrNoController)
	}
	g, err := openGroup(d.Abs())
	if err != nil {
		return nil, err
	}
	defer g.close()
	if d.Controllers == nil {
		return g.watchOOMV2()
	}
	return g.watchOOMV1()
}

func (g group) watchOOMV2() (*OOMWatch, error) {
	events, err := g.notify("memory.events")
	if errors.Is(err, unix.ENOENT) && g.has("cgroup.procs") {
		return nil, fmt.Errorf("memory: %w", ErrNoController)
	}
	if err != nil {
		return nil, err
	}
	w := &OOMWatch{file: events, event: -1}
	if _, err := w.Read(); err != nil { // skips the events before the watch
		w.Close()
		return nil, err
	}
	return w, nil
}

// watchOOMV1 registers an eventfd. The kernel adds to it at each OOM and when the
// cgroup is removed.
func (g group) watchOOMV1() (*OOMWatch, error) {
	control, err := g.notify("memory.oom_control")
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		control.close()
		return nil, &FileError{Op: "eventfd", Path: "for " + control.path, Err: err}
	}
	w := &OOMWatch{file: control, event: event}
	if err := g.write("cgroup.event_control", fmt.Sprintf("%d %d", event, control.fd)); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// PollFd returns the descriptor to poll. It is ready when Read has something to
// report.
func (w *OOMWatch) PollFd() unix.PollFd {
	if w.event < 0 {
		return w.file.pollFd()
	}
	return unix.PollFd{Fd: int32(w.event), Events: unix.POLLIN}
}

// Read returns the events since the last read. It does not block. It returns an
// error once the cgroup has been removed.
func (w *OOMWatch) Read() (OOM, error) {
	if w.event < 0 {
		return w.readV2()
	}
	return w.readV1()
}

func (w *OOMWatch) readV2() (OOM, error) {
	text, err := w.file.read()
	if err != nil {
		return OOM{}, err
	}
	k := flatKeyed(text)
	now := OOM{k["oom_kill"], k["oom_group_kill"]}
	grown := OOM{now.Count - w.last.Count, now.Group - w.last.Group}
	w.last = now
	return grown, nil
}

func (w *OOMWatch) readV1() (OOM, error) {
	var n [8]byte
	switch _, err := unix.Read(w.event, n[:]); {
	case err == unix.EAGAIN || err == unix.EINTR:
		return OOM{}, nil
	case err != nil:
		return OOM{}, &FileError{Op: "read", Path: "the eventfd of " + w.file.path, Err: err}
	}
	// The kernel also adds to the eventfd when the cgroup is removed.
	if err := unix.Access(w.file.path, unix.F_OK); err != nil {
		return OOM{}, &FileError{Op: "access", Path: w.file.path, Err: err}
	}
	return OOM{Count: 1}, nil
}

// Close ends the watch.
func (w *OOMWatch) Close() {
	if w.event >= 0 {
		unix.Close(w.event)
	}
	w.file.close()
}
