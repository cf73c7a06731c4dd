package libcontainer

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// Whose are the processes in a cgroup? The record names the cgroup. The mark on
// it says whether another container has claimed it since. Nothing is signalled,
// frozen, limited or listed as the container's without one of two proofs:
//
//   - the mark is the container's;
//   - there is no mark, as an older onggi made it, and the first process lives in
//     it: a cgroup with processes is given to no other container.

// claim is the mark of the container.
func (r *Runtime) claim(record *state.Record) cgroup.Claim {
	boot, _ := proc.BootID() // without one, no process is known either
	return cgroup.Claim{Boot: boot, Root: r.store.Root, ID: record.ID, Created: record.Created.UnixNano(), User: os.Geteuid() != 0 || r.inUserns, By: os.Getpid()}
}

// claimCgroup marks the cgroup that has been made. The record then names as the
// container's to remove what really was made for it; the mark has what others left.
func (c *creation) claimCgroup(paths cgroup.Paths, made []string) error {
	defer c.span("claim the cgroup").End()
	if err := paths.Claim(c.claim(&c.record), made, c.lives); err != nil {
		return err
	}
	c.record.Intents = slices.DeleteFunc(c.record.Intents, func(i state.Intent) bool {
		return i.Kind == state.CgroupDir && slices.Contains(c.missing, i.Name) && !slices.Contains(made, i.Name)
	})
	c.paths, c.made, c.hasCgroup = paths, made, true
	return nil
}

// undoCgroup is for a create that failed.
func (c *creation) undoCgroup(ctx context.Context) error {
	whose, made, err := c.paths.Whose(c.claim(&c.record))
	if err != nil || whose == cgroup.Foreign {
		return err
	}
	_ = c.paths.Kill(ctx)
	made = append(c.made[:len(c.made):len(c.made)], made...)
	c.paths.Unclaim(made)
	return c.paths.Remove(ctx, made)
}

// lives tells whether a container that has claimed a cgroup may have, or soon
// have, processes in it.
func (r *Runtime) lives(claim cgroup.Claim) bool {
	dir, err := state.Store{Root: claim.Root}.Open(claim.ID)
	if err != nil {
		return false
	}
	defer dir.Close()
	record, err := dir.Load()
	if err != nil || record.Created.UnixNano() != claim.Created {
		return false
	}
	if record.Init.IsZero() {
		return claim.By > 0 && unix.Kill(claim.By, 0) != unix.ESRCH // else create was killed
	}
	alive, err := record.Init.Alive()
	return err != nil || alive
}

// whose tells whether all that is in the container's cgroup is its own. alive says
// that the first process is, now; made are directories that were made for it, by its
// mark.
func (c *Container) whose(alive bool) (whose cgroup.Ownership, made []string, err error) {
	whose, made, err = c.cgroups().Whose(c.runtime.claim(&c.record))
	if err == nil && whose == cgroup.Unmarked && alive && c.firstIsInside() {
		whose = cgroup.Own
	}
	return whose, made, err
}

func (c *Container) owns(alive bool) (bool, error) {
	whose, _, err := c.whose(alive)
	return whose == cgroup.Own, err
}

func (c *Container) firstIsInside() bool {
	pid := c.record.Init.Pid
	if pid == 0 {
		pid = c.record.Creating.Pid
	}
	_, err := c.cgroups().Of(pid)
	return err == nil
}

// checkOwn is for verbs that work on the cgroup of a container that runs.
func (c *Container) checkOwn() error {
	if !c.hasCgroup() {
		return nil
	}
	own, err := c.owns(true)
	if err == nil && !own {
		err = fmt.Errorf("cgroup %s is no longer that of container %s: another one has claimed it", c.cgroups(), c.record.ID)
	}
	return err
}

// outlived tells whether processes of the container can be left when the first one
// has ended: not where that was process 1 of a pid namespace, as then the kernel
// has ended the others. A create that was killed may have left any; and a record of
// another boot does not go with a mark of this one, so that it is not believed.
func (c *Container) outlived() bool {
	boot, err := proc.BootID()
	return c.record.Init.IsZero() || err == nil && c.record.Init.BootID != boot || !c.ownPids()
}

// settleTime bounds the wait for the stub of an exec, which is in the cgroup but
// not in the pid namespace, and ends by itself.
const settleTime = 500 * time.Millisecond

// remains is what is to be done about the cgroup once the first process has ended.
type remains int

const (
	whole    remains = iota // it is the container's, and has to be removed
	removed                 // it has been
	unmarked                // nobody's: what of it is empty may go
	anothers                // it stays
)

// endCgroup decides about the cgroup and what is in it, once the first process has
// ended. Others are the container's if the cgroup is, and if there can be any.
func (c *Container) endCgroup(ctx context.Context, whose cgroup.Ownership, others bool) (remains, error) {
	switch {
	case !c.hasCgroup():
		return removed, nil
	case whose == cgroup.Own && c.cgroups().RemoveEmpty(c.madeCgroups()):
		return removed, nil // rmdir(2) has found no process, and nothing below it
	}
	pids, err := c.cgroups().AllProcs()
	switch {
	case err != nil:
		return whole, err
	case whose == cgroup.Own && len(pids) == 0:
		return whole, nil
	case whose == cgroup.Own && others:
		if err := c.killCgroup(ctx); err != nil {
			return whole, err
		}
		return whole, c.cgroups().WaitEmpty(ctx)
	case whose == cgroup.Own && c.settles(ctx):
		return whole, nil
	case whose == cgroup.Unmarked && len(pids) == 0:
		return unmarked, nil
	}
	c.warnOfOthers()
	return anothers, nil
}

// settles waits a moment for the stub of an exec.
func (c *Container) settles(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, settleTime)
	defer stop()
	return c.cgroups().WaitEmpty(ctx) == nil
}

// warnOfOthers names the processes that stay.
func (c *Container) warnOfOthers() {
	if pids, err := c.cgroups().AllProcs(); err == nil && len(pids) > 0 {
		c.runtime.warnf("container %s: cgroup %s stays, with processes that are not known to be the container's: %s", c.record.ID, c.cgroups(), cgroup.Describe(pids))
	}
}
