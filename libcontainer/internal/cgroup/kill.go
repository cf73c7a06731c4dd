package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezeForSignal is how long signalling waits for a v1 cgroup to freeze. A
// process in uninterruptible sleep can keep it from that for ever; then all are
// signalled as they run.
const freezeForSignal = 500 * time.Millisecond

// Kill sends SIGKILL to every process in the cgroup and below, those that are
// being forked too. It does not wait for their end (WaitEmpty does). A frozen
// cgroup is thawed, since on v1 frozen processes do not die.
func (p Paths) Kill(ctx context.Context) error {
	if p.Unified != nil {
		done, err := killUnified(p.Unified.Abs())
		if err != nil {
			return err
		}
		if done && p.V1 == nil {
			return nil
		}
	}
	return p.killV1(ctx)
}

// killUnified kills by cgroup.kill, atomically. False where the kernel has no
// such file, or where the cgroup is threaded.
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

// killV1 kills what cgroup.kill did not reach: with a cgroup2 hierarchy,
// processes that are in the v1 cgroups only; without, all.
func (p Paths) killV1(ctx context.Context) error {
	if frozen, err := p.Frozen(); err == nil && frozen {
		if err := p.Thaw(ctx); err != nil {
			return err
		}
	}
	killed := make(map[int]bool)
	for {
		n, err := p.signalWhileFrozen(ctx, unix.SIGKILL, killed)
		if n == 0 || err != nil {
			return err
		}
	}
}

// Signal sends sig to every process in the cgroup and below. Those that are
// forked meanwhile get it too, unless something keeps the cgroup from freezing.
func (p Paths) Signal(ctx context.Context, sig unix.Signal) error {
	if sig == unix.SIGKILL {
		return p.Kill(ctx)
	}
	_, err := p.signalWhileFrozen(ctx, sig, make(map[int]bool))
	return err
}

// signalWhileFrozen signals all processes that are not in done yet, adds them to
// it, and says how many they were.
func (p Paths) signalWhileFrozen(ctx context.Context, sig unix.Signal, done map[int]bool) (int, error) {
	pids, err := p.toSignal(sig, done)
	if err != nil || len(pids) == 0 {
		return 0, err
	}
	thaw := p.freezeBriefly(ctx)
	n, err := p.signalAll(sig, done)
	return n, errors.Join(err, thaw())
}

// freezeBriefly freezes what is not frozen yet, as far as it can be done
// soon. The function it returns undoes that.
func (p Paths) freezeBriefly(ctx context.Context) func() error {
	nothing := func() error { return nil }
	if frozen, err := p.Frozen(); err != nil || frozen {
		return nothing
	}
	short, cancel := context.WithTimeout(ctx, freezeForSignal)
	defer cancel()
	if p.Freeze(short) != nil {
		return nothing // Freeze has thawed
	}
	return func() error { return p.Thaw(context.WithoutCancel(ctx)) }
}

// toSignal are the processes to signal that are not in done: all of the
// container; for SIGKILL, without those that cgroup.kill has reached.
func (p Paths) toSignal(sig unix.Signal, done map[int]bool) ([]int, error) {
	var pids []int
	for _, d := range p.processDirs() {
		ps, err := allProcs(d.Abs())
		if err != nil {
			return nil, err
		}
		for _, pid := range ps {
			if done[pid] || sig == unix.SIGKILL && d.Controllers != nil && p.inUnified(pid) {
				continue
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// processDirs are the directories that between them know every process: a
// process that has been moved in one hierarchy is still there in another.
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

// signalAll signals the processes by pidfd. Each is looked up twice: if the pid is
// still listed once the pidfd is open, the pidfd is of that process, not of a
// later one with the same pid.
func (p Paths) signalAll(sig unix.Signal, done map[int]bool) (int, error) {
	pids, err := p.toSignal(sig, done)
	if err != nil {
		return 0, err
	}
	fds := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds[pid] = fd
		}
	}
	if pids, err = p.toSignal(sig, done); err != nil {
		return 0, err
	}
	var errs []error
	for _, pid := range pids {
		fd, ok := fds[pid]
		if !ok || done[pid] {
			continue
		}
		done[pid] = true
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
			errs = append(errs, fmt.Errorf("signal %s: %w", describeOne(pid), err))
		}
	}
	return len(pids), oneLine(errs)
}
