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

// The record names the container's cgroup. The mark on the cgroup shows whether another
// container has claimed it since. The runtime signals, freezes, limits or lists
// processes as the container's only with one of two proofs:
//
//   - the mark is the container's;
//   - there is no mark, because an older onggi made the cgroup, and the first process
//     lives in it: no other container gets a cgroup that has processes.

// claim returns the mark of a container.
func (r *Runtime) claim(record *state.Record) cgroup.Claim {
	boot, _ := proc.BootID() // without a boot id, no process is known either
	return cgroup.Claim{Boot: boot, Root: r.store.Root, ID: record.ID, Created: record.Created.UnixNano(), User: os.Geteuid() != 0 || r.inUserns, By: os.Getpid()}
}

// claimCgroup marks the cgroup that has been made. After that, the intents name only
// directories that were really made for this container. The mark lists those that
// earlier containers have left.
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

// undoCgroup ends the processes of a failed create and removes its cgroup, unless another
// container has claimed it.
func (c *creation) undoCgroup(ctx context.Context) error {
	claim := c.claim(&c.record)
	whose, made, err := c.paths.Whose(claim)
	if err != nil {
		return err
	}
	if whose == cgroup.Foreign {
		c.paths.Abandon(c.made)
		return nil
	}
	_ = c.paths.Kill(ctx)
	made = append(c.made[:len(c.made):len(c.made)], made...)
	c.paths.Unclaim(made)
	return c.paths.Remove(ctx, made)
}

// lives reports whether a container that has claimed a cgroup may have processes in it,
// now or soon.
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

// whose reports whether the container still owns its cgroup. alive says that the first
// process lives now. made are the directories that were made for the container,
// according to its mark.
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

// checkOwn returns an error if another container has claimed the cgroup. Pause, Update,
// Stats and Events call it before they use the cgroup.
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

// outlived reports whether processes of the container may be left after the end of the
// first one. If that was process 1 of a pid namespace, the kernel has ended the others.
// A create that was killed may have left any process. A record of another boot does not
// match a mark of this boot, so it proves nothing.
func (c *Container) outlived() bool {
	boot, err := proc.BootID()
	return c.record.Init.IsZero() || err == nil && c.record.Init.BootID != boot || !c.ownPids()
}

// settleTime bounds the wait for the stub of an exec. That stub is in the cgroup but not
// in the pid namespace, so the kernel does not end it with the container. It ends by
// itself.
const settleTime = 500 * time.Millisecond

// remains is the treatment of the cgroup after the end of the first process.
type remains int

const (
	whole    remains = iota // the container's own: remove it
	removed                 // removed already
	unmarked                // without a mark: remove its empty directories
	anothers                // with processes that may be another container's: leave it
)

// endCgroup ends the container's processes in its cgroup after the end of the first one,
// and returns the treatment of the cgroup. The processes are the container's if the cgroup
// is its own and others says that the first process can have left any.
func (c *Container) endCgroup(ctx context.Context, whose cgroup.Ownership, others bool) (remains, error) {
	switch {
	case !c.hasCgroup():
		return removed, nil
	case whose == cgroup.Own && c.cgroups().RemoveEmpty(c.madeCgroups()):
		return removed, nil // rmdir(2) has found neither processes nor sub-cgroups
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

// settles waits for the stub of an exec and reports whether the cgroup is empty then.
func (c *Container) settles(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, settleTime)
	defer stop()
	return c.cgroups().WaitEmpty(ctx) == nil
}

// warnOfOthers names the processes that stay in the cgroup.
func (c *Container) warnOfOthers() {
	if pids, err := c.cgroups().AllProcs(); err == nil && len(pids) > 0 {
		c.runtime.warnf("container %s: cgroup %s stays, with processes that are not known to be the container's: %s", c.record.ID, c.cgroups(), cgroup.Describe(pids))
	}
}
