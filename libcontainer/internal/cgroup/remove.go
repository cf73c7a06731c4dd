package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// WaitEmpty returns when no process is left in the cgroup and below. If ctx ends
// first, the error names the remaining processes.
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

// waitProcs waits for the end of the processes of a v1 cgroup, by pidfd. An ended
// process stays listed for a moment, and the kernel does not announce its removal
// from the list. waitProcs therefore reads the list again after a pause.
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
		return nil // gone, or its leader is gone and a thread is left: the caller looks again
	}
	defer unix.Close(fd)
	return poll(ctx, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
}

// leftover adds the remaining processes of dir to err.
func leftover(dir string, err error) error {
	pids, e := allProcs(dir)
	if e != nil || len(pids) == 0 {
		return fmt.Errorf("cgroup %s is still in use: %w", dir, err)
	}
	return fmt.Errorf("cgroup %s still has %s: %w", dir, Describe(pids), err)
}

// RemoveEmpty removes the container's own cgroups with one system call for each
// hierarchy. It reports whether all are removed: made must list them, and none may
// have a process or a cgroup below it. This is the usual end of a container.
// Afterwards only RemoveParents is left to call.
func (p Paths) RemoveEmpty(made []string) bool {
	for d := range p.dirs() {
		if !contains(made, d.Abs()) {
			return false
		}
		if err := unix.Rmdir(d.Abs()); err != nil && err != unix.ENOENT {
			return false
		}
	}
	return true
}

// Remove removes the cgroups in made (see Create). It removes the container's own
// cgroups with everything below them, and waits for processes that are about to
// end. It removes the parents in made unless others use them. A cgroup that has
// been removed already is no error. Remove tries all hierarchies before it returns
// an error. If several are still in use when ctx ends, it reports only the first one.
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

// RemoveParents removes the parents in made, after the container's own cgroups have
// been removed.
func (p Paths) RemoveParents(made []string) { p.removeMade(made, func(Dir) {}) }

// RemoveUnclaimed removes the cgroups in made that are empty. It is for a list
// whose cgroups may have been made by another process.
func (p Paths) RemoveUnclaimed(made []string) {
	p.removeMade(made, func(d Dir) { _ = unix.Rmdir(d.Abs()) })
}

// removeMade calls removeOwn for each of the container's own cgroups in made, and
// removes their unused parents afterwards.
func (p Paths) removeMade(made []string, removeOwn func(Dir)) {
	var parents []string // each one above the previous one
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

// removeUnused removes cgroups, the lowest first. It stops at the first one that
// another process or cgroup uses.
func removeUnused(dirs []string) {
	_ = up(dirs, func(at group, name string) error { return at.rmdir(name) })
}

// at returns the container's own directory with the absolute path abs.
func (p Paths) at(abs string) (Dir, bool) {
	for d := range p.dirs() {
		if d.Abs() == abs {
			return d, true
		}
	}
	return Dir{}, false
}

// remove removes the cgroup dir with everything below it.
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
		// The cgroup is empty but still busy: the kernel is about to drop a last reference.
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
// directory open at a time, however deep the container has nested cgroups. It
// returns EBUSY if a cgroup has processes.
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
			g, err = g.moveTo(name)
		case len(trail) == 0:
			g.close()
			return unix.Rmdir(dir)
		default:
			name, trail = trail[len(trail)-1], trail[:len(trail)-1]
			if g, err = g.moveTo(".."); err == nil {
				err = g.rmdir(name)
			}
		}
		if err != nil {
			g.close()
			return pruneErrno(err)
		}
	}
}

// removeChildren removes the cgroups directly below g. It returns the name of the
// first one that is busy, or "" if all are removed.
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

// pruneErrno returns the errno in err, for callers of prune that compare it.
func pruneErrno(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
