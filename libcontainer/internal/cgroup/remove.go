package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// WaitEmpty returns when no process is left in the cgroup and below. When ctx
// ends first, the error names those that are.
func (p Paths) WaitEmpty(ctx context.Context) error {
	for _, d := range p.processDirs() {
		if err := waitEmpty(ctx, d.Abs(), d.Controllers == nil); err != nil {
			return err
		}
	}
	return nil
}

func waitEmpty(ctx context.Context, dir string, v2 bool) error {
	g, err := openGroup(dir)
	if err != nil {
		return unlessGone(err)
	}
	defer g.close()
	if v2 {
		err = g.await(ctx, "cgroup.events", "populated", 0)
	} else {
		err = waitProcs(ctx, dir)
	}
	if err = unlessGone(err); err != nil {
		return leftover(dir, err)
	}
	return nil
}

// waitProcs waits for the end of the processes of a v1 cgroup, by pidfd. One
// that has ended is listed a moment longer; that nothing announces.
func waitProcs(ctx context.Context, dir string) error {
	for d := firstPause; ; d = min(2*d, longPause) {
		pids, err := allProcs(dir)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := waitProc(ctx, pid); err != nil {
				return err
			}
		}
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
}

func waitProc(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // gone, or only a thread of it left: the caller looks again
	}
	defer unix.Close(fd)
	return poll(ctx, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
}

// leftover says what is still in dir.
func leftover(dir string, err error) error {
	pids, e := allProcs(dir)
	if e != nil || len(pids) == 0 {
		return fmt.Errorf("cgroup %s is still in use: %w", dir, err)
	}
	return fmt.Errorf("cgroup %s still has %s: %w", dir, Describe(pids), err)
}

// RemoveEmpty removes the container's cgroups, all of them, if made lists them
// and none has a process or a cgroup below it: the usual end of a container, in
// one system call a hierarchy. Then RemoveParents is what is left to do.
func (p Paths) RemoveEmpty(made []string) bool {
	for _, d := range p.dirs() {
		if !contains(made, d.Abs()) {
			return false
		}
		if err := unix.Rmdir(d.Abs()); err != nil && err != unix.ENOENT {
			return false
		}
	}
	return true
}

// Remove removes the cgroups that made lists (see Create): the container's with
// all below them, waiting for processes that are about to end; and the parents
// made for it, where nobody else uses them. What is gone already is no error.
// All hierarchies are tried before an error is returned; of those that are still
// in use when ctx ends, it is about the first.
func (p Paths) Remove(ctx context.Context, made []string) error {
	var (
		errs []error
		late bool
	)
	p.removeMade(made, func(d Dir) {
		err := remove(ctx, d.Abs(), d.Controllers == nil)
		ended := err != nil && errors.Is(err, ctx.Err())
		if err != nil && !(ended && late) {
			errs = append(errs, err)
		}
		late = late || ended
	})
	return oneLine(errs)
}

// RemoveParents is what Remove has to do where the container's own are gone.
func (p Paths) RemoveParents(made []string) { p.removeMade(made, func(Dir) {}) }

// RemoveUnclaimed removes of the cgroups that made lists those that have nothing
// in them: where it is not known who has made them.
func (p Paths) RemoveUnclaimed(made []string) {
	p.removeMade(made, func(d Dir) { _ = unix.Rmdir(d.Abs()) })
}

// removeMade has the container's own cgroups removed, and removes their parents
// behind them.
func (p Paths) removeMade(made []string, removeOwn func(Dir)) {
	var parents []string // one above the other
	for i := len(made) - 1; i >= 0; i-- {
		d, own := p.at(made[i])
		if n := len(parents); n > 0 && (own || path.Dir(parents[n-1]) != made[i]) {
			removeUnused(parents)
			parents = nil
		}
		if own {
			removeOwn(d)
		} else {
			parents = append(parents, made[i])
		}
	}
	removeUnused(parents)
}

// removeUnused removes cgroups, the lowest first, as far as nobody else has one
// below or a process in them.
func removeUnused(dirs []string) {
	_ = up(dirs, func(at group, name string) error { return at.rmdir(name) })
}

// at is the directory of the container with that absolute path.
func (p Paths) at(abs string) (Dir, bool) {
	for _, d := range p.dirs() {
		if d.Abs() == abs {
			return d, true
		}
	}
	return Dir{}, false
}

// remove removes the cgroup dir with all below it.
func remove(ctx context.Context, dir string, v2 bool) error {
	err := unix.Rmdir(dir)
	for d := firstPause; err == unix.EBUSY; d = min(2*d, longPause) {
		if err = prune(dir); err != unix.EBUSY {
			break
		}
		if err := waitEmpty(ctx, dir, v2); err != nil {
			return err
		}
		if err = unix.Rmdir(dir); err != unix.EBUSY {
			break
		}
		// Empty, and busy all the same: a last reference is on its way out.
		if e := pause(ctx, d); e != nil {
			return leftover(dir, e)
		}
	}
	if err == nil || err == unix.ENOENT {
		return nil
	}
	return &FileError{Op: "rmdir", Path: dir, Err: err}
}

// prune removes dir and all cgroups below it, the lowest first. It keeps one
// directory open at a time, however deep a container has gone. EBUSY if
// processes stand in the way.
func prune(dir string) error {
	g, err := openGroup(dir)
	if err != nil {
		return pruneErrno(err)
	}
	var trail []string // names from dir down to g
	for {
		name, err := g.removeChildren()
		switch {
		case err != nil:
			g.close()
			return pruneErrno(err)
		case name != "":
			trail = append(trail, name)
			g, err = g.enter(name)
		case len(trail) == 0:
			g.close()
			return unix.Rmdir(dir)
		default:
			name, trail = trail[len(trail)-1], trail[:len(trail)-1]
			if g, err = g.enter(".."); err == nil {
				err = g.rmdir(name)
			}
		}
		if err != nil {
			g.close()
			return pruneErrno(err)
		}
	}
}

// removeChildren removes the cgroups right below g that can be, and returns the
// name of one that could not.
func (g group) removeChildren() (string, error) {
	names, err := g.children()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if err := g.rmdir(name); err == unix.EBUSY {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}

func (g group) rmdir(name string) error {
	err := unix.Unlinkat(g.fd, g.dir+name, unix.AT_REMOVEDIR)
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// step opens name below g and closes g.
func (g group) step(name string) (group, error) {
	next, err := g.open(name)
	g.close()
	if err != nil {
		next.fd = -1
	}
	return next, err
}

// pruneErrno is the errno in err, which callers of prune compare.
func pruneErrno(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
