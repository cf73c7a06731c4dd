package libcontainer

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

// This file is for programs that wait for many containers with one epoll(7): Wait and
// Events keep a thread each.

// Pidfd returns a pidfd of the first process. The caller closes it. The pidfd is
// readable once the process has ended (pidfd_open(2)); Wait returns at once then. The
// error is ErrNotRunning if the process has ended already.
func (c *Container) Pidfd() (_ *os.File, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	return c.open()
}

// Pidfd returns a pidfd of the process. The caller closes it. The pidfd is readable once
// the process has ended, reaped or not. The error is os.ErrClosed after Close.
func (p *Process) Pidfd() (*os.File, error) { return p.handle.duplicate() }

// OOMWatch counts the OOM kills of one container. One goroutine may use it at a time.
type OOMWatch struct{ watch *cgroup.OOMWatch }

// WatchOOM starts a watch for processes of the container that the OOM killer kills. The
// caller closes the watch. The error is ErrNotRunning if the first process does not live.
// Without accounting of memory the watch is nil, and that is no error.
func (c *Container) WatchOOM() (_ *OOMWatch, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	if err := c.checkOwn(); err != nil {
		return nil, err
	}
	w, err := c.cgroups().WatchOOM()
	if errors.Is(err, cgroup.ErrNoController) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &OOMWatch{w}, nil
}

// Poll returns the descriptor to wait for, and for which poll(2) events: POLLPRI on
// cgroup v2, POLLIN on v1. The descriptor stays the watch's.
func (w *OOMWatch) Poll() unix.PollFd { return w.watch.PollFd() }

// Kills returns the number of kills since the last call, or since WatchOOM. It does not
// wait. It returns an error once the cgroup has been removed. On v1 the kernel announces
// that it is about to choose victims, and each announcement counts as one kill.
func (w *OOMWatch) Kills() (uint64, error) {
	oom, err := w.watch.Read()
	return oom.Count, err
}

// Close ends the watch.
func (w *OOMWatch) Close() { w.watch.Close() }

// CgroupStats reads the resource usage of the container's cgroup. Unlike Stats it works
// for a stopped container too, as long as the cgroup is there, and it does not look for
// network interfaces or a class of service.
func (c *Container) CgroupStats() (_ *Stats, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	alive, err := c.record.Init.Alive()
	if err != nil {
		return nil, err
	}
	if own, err := c.owns(alive); err != nil || !own {
		return nil, ErrNotRunning
	}
	s, err := c.cgroups().Stats()
	if err != nil {
		return nil, err
	}
	return &Stats{CPU: s.CPU, CPUSet: s.CPUSet, Memory: s.Memory, Pids: s.Pids, BlockIO: s.BlockIO, Hugetlb: s.Hugetlb, Network: s.Network}, nil
}
