package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezeForSignal bounds the wait for a cgroup to freeze before signalling. A
// process in uninterruptible sleep can prevent the freeze for ever. In that case
// the processes get the signal while they run.
const freezeForSignal = 500 * time.Millisecond

// Kill sends SIGKILL to every process in the cgroup and below, including processes
// that are being forked. It does not wait for their end; WaitEmpty does. Unless
// cgroup.kill does all the work, Kill first thaws a frozen cgroup: the processes in a
// v1 freezer do not die.
func (p Paths) Kill(ctx context.Context) error {
	s := signaller{paths: p, sig: unix.SIGKILL, done: make(map[int]bool)}
	if p.Unified != nil {
		killed, err := killUnified(p.Unified.Abs())
		if err != nil {
			return err
		}
		if killed && p.V1 == nil {
			return nil
		}
		s.unifiedDone = killed
	}
	if frozen, err := p.Frozen(); err == nil && frozen {
		if err := p.Thaw(ctx); err != nil {
			return err
		}
	}
	for {
		n, err := s.round(ctx)
		if n == 0 || err != nil {
			return err
		}
	}
}

// Signal sends sig to every process in the cgroup and below. Processes forked
// meanwhile also get it, unless the cgroup cannot be frozen.
func (p Paths) Signal(ctx context.Context, sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return p.Kill(ctx)
	}
	s := signaller{paths: p, sig: sig, done: make(map[int]bool)}
	_, err := s.round(ctx)
	return err
}

// killUnified kills by cgroup.kill, atomically. It returns false if the kernel has
// no such file or if the cgroup is threaded.
func killUnified(dir string) (bool, error) {
	g, err := openGroup(dir)
	if err != nil {
		return true, unlessGone(err)
	}
	defer g.close()
	err = g.write("cgroup.kill", "1")
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) && g.has("cgroup.procs") {
		return false, nil
	}
	return true, unlessGone(err)
}

// signaller sends one signal to all processes of a container, once to each process.
type signaller struct {
	paths       Paths
	sig         unix.Signal
	done        map[int]bool
	unifiedDone bool // all processes in the cgroup2 cgroup have had the signal
}

// round freezes the cgroup and signals the processes that have not had the signal
// yet. It returns their number.
func (s *signaller) round(ctx context.Context) (int, error) {
	pids, err := s.todo()
	if err != nil || len(pids) == 0 {
		return 0, err
	}
	thaw := s.paths.freezeBriefly(ctx)
	n, err := s.signalAll()
	return n, oneLine(notNil(err, thaw(), ctx.Err()))
}

// freezeBriefly freezes the cgroup if it is not frozen and can be frozen within
// freezeForSignal. It returns a function that undoes this.
func (p Paths) freezeBriefly(ctx context.Context) func() error {
	nothing := func() error { return nil }
	if frozen, err := p.Frozen(); err != nil || frozen {
		return nothing
	}
	short, cancel := context.WithTimeout(ctx, freezeForSignal)
	defer cancel()
	if p.Freeze(short) != nil {
		return nothing // Freeze has thawed the cgroup again
	}
	return func() error { return p.Thaw(context.WithoutCancel(ctx)) }
}

// todo returns the processes that have not had the signal yet.
func (s *signaller) todo() ([]int, error) {
	var todo []int
	for _, d := range s.paths.processDirs() {
		if d.Controllers == nil && s.unifiedDone {
			continue
		}
		pids, err := allProcs(d.Abs())
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			if !s.done[pid] && !(s.unifiedDone && s.paths.inUnified(pid)) {
				todo = append(todo, pid)
			}
		}
	}
	return todo, nil
}

// signalAll signals by pidfd. It lists the processes before and after it opens the
// pidfds. A pid that is still listed afterwards belongs to the process of its
// pidfd, not to a later process with the same pid.
func (s *signaller) signalAll() (int, error) {
	first, err := s.todo()
	if err != nil {
		return 0, err
	}
	fds := make(map[int]int, len(first))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range first {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds[pid] = fd
		}
	}
	pids, err := s.todo()
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, pid := range pids {
		fd, ok := fds[pid]
		if !ok || s.done[pid] {
			continue
		}
		s.done[pid] = true
		if err := unix.PidfdSendSignal(fd, s.sig, nil, 0); err != nil && err != unix.ESRCH {
			errs = append(errs, fmt.Errorf("signal %s: %w", describeOne(pid), err))
		}
	}
	return len(pids), oneLine(errs)
}

func notNil(errs ...error) []error {
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// processDirs returns directories that together contain every process: a process
// moved away in one hierarchy is still there in the other.
func (p Paths) processDirs() []Dir {
	var dirs []Dir
	if d, ok := (Paths{V1: p.V1}).primary(); ok {
		dirs = append(dirs, d)
	}
	if p.Unified != nil {
		dirs = append(dirs, *p.Unified)
	}
	return dirs
}

// inUnified reports whether pid is in the container's cgroup2 cgroup.
func (p Paths) inUnified(pid int) bool {
	if p.Unified == nil {
		return false
	}
	text, err := readPath(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	m, ok := p.Unified.membership(memberships(text))
	at := path.Join(p.Unified.Root, p.Unified.Path)
	return ok && (m.path == at || strings.HasPrefix(m.path, at+"/"))
}
