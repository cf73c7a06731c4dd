package libcontainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// AddMounts makes mounts in a created or running container, in the given order. The options
// are those of config.json, except remount and copy-symlink. A missing destination is
// created. If AddMounts fails, none of the mounts is left.
//
// A source is a path on the host. A source below the container's root file system is a
// path in the container. The container's names lead where the container lets them lead,
// but never out of its root file system and never into /proc. A source in the container
// includes all mounts below it, and keeps their restrictions.
//
// Errors: ErrNotRunning, specconv.Problems for a wrong mount, or a *Failure, for example
// for a container without a mount namespace of its own.
func (c *Container) AddMounts(ctx context.Context, mounts []specs.Mount) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	v, err := c.visit()
	if err != nil {
		return err
	}
	defer v.close()
	if err := specconv.ValidateMounts(v.spec, mounts); err != nil {
		return oneLine(err)
	}
	p, err := plan.AddMounts(v.request, mounts)
	if err != nil {
		return err
	}
	done, err := engine.Visit(ctx, p, v.job())
	return errors.Join(err, c.noteMounts(ctx, done))
}

// noteMounts saves the mounts that were made, and forgets those that are gone. With a mount
// it forgets everything that was mounted on it later.
func (c *Container) noteMounts(ctx context.Context, done engine.LiveMounts) error {
	if len(done.Made)+len(done.Gone) == 0 {
		return nil
	}
	return c.dir.SaveMounts(context.WithoutCancel(ctx), func(list []state.Mount) []state.Mount {
		for _, id := range done.Gone {
			list = without(list, id)
		}
		for _, m := range done.Made {
			list = append(list, state.Mount(m))
		}
		return list
	})
}

// RemoveMounts unmounts mounts of AddMounts, and all that was mounted below them. Only the
// destinations of mounts matter; the last one is unmounted first. Other mounts stay: some
// of them hide files from the container, or protect them. The error is a *Failure for a
// destination that AddMounts has not mounted.
func (c *Container) RemoveMounts(ctx context.Context, mounts []specs.Mount) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	v, err := c.visit()
	if err != nil {
		return err
	}
	defer v.close()
	known, err := c.dir.Mounts()
	if err != nil {
		return err
	}
	list, err := unmounts(known, mounts)
	if err != nil {
		return err
	}
	p, err := plan.RemoveMounts(v.request, list)
	if err != nil {
		return err
	}
	done, err := engine.Visit(ctx, p, v.job())
	return errors.Join(err, c.noteMounts(ctx, done))
}

// unmounts finds the mounts by their destinations. If several have the same destination,
// it takes the topmost one.
func unmounts(known []state.Mount, mounts []specs.Mount) ([]plan.Unmount, error) {
	var list []plan.Unmount
	known = slices.Clone(known)
	for i := len(mounts) - 1; i >= 0; i-- {
		at := path.Clean("/" + mounts[i].Destination)
		n := len(known) - 1
		for ; n >= 0 && known[n].Destination != at; n-- {
		}
		if n < 0 {
			return nil, &Failure{
				Field: fmt.Sprintf("/%d/destination", i), Step: "unmount " + at,
				Err: errors.New("it was not mounted in the running container, or is unmounted already"),
			}
		}
		list = append(list, plan.Unmount{At: plan.Place{Path: at}, ID: known[n].ID})
		known = without(known, known[n].ID)
	}
	return list, nil
}

// without returns the list without the mount of an id, and without later mounts on it.
func without(list []state.Mount, id uint64) []state.Mount {
	at := slices.IndexFunc(list, func(m state.Mount) bool { return m.ID == id })
	if at < 0 {
		return list
	}
	place := list[at].Destination
	later := slices.DeleteFunc(slices.Clone(list[at+1:]), func(m state.Mount) bool {
		return m.Destination == place || strings.HasPrefix(m.Destination, place+"/")
	})
	return append(slices.Clone(list[:at]), later...)
}

// visit is one change of the mounts of a running container.
type visit struct {
	spec    *specs.Spec
	request plan.LiveRequest
	pidfd   *os.File
	mnt     *os.File // mount namespace of the first process
	pid     *os.File // pid namespace of the first process; nil if it cannot be opened
	options Options
}

func (c *Container) visit() (*visit, error) {
	pidfd, err := c.open()
	if err != nil {
		return nil, err
	}
	v := &visit{pidfd: pidfd, options: c.runtime.options}
	config, err := c.snapshot()
	if err == nil {
		v.spec = config.Spec
		err = v.holdNamespace(c.record.Init.Pid)
	}
	if err != nil {
		v.close()
		return nil, err
	}
	v.pid = holdOne(pidfd, pidfdGetPIDNamespace, c.record.Init.Pid, "pid")
	host := plan.Host{Rootless: c.record.Rootless, InUserns: c.record.Rootless && c.runtime.inUserns}
	describeCgroups(&host, c.cgroups())
	v.request = plan.LiveRequest{Spec: v.spec, Rootfs: c.record.Rootfs, Bundle: c.record.Bundle, Host: host}
	return v, nil
}

// holdNamespace opens the mount namespace of the first process, if that is the
// container's. Nothing is ever mounted in the host's.
func (v *visit) holdNamespace(pid int) error {
	const field = "/linux/namespaces"
	if !hasMountNamespace(v.spec) {
		return &Failure{Field: field, Err: errNoMountNamespace}
	}
	if v.mnt = holdOne(v.pidfd, pidfdGetMountNamespace, pid, "mnt"); v.mnt == nil {
		return errors.New("the container's mount namespace cannot be opened")
	}
	// holdOne may have opened it by the pid. That was the right process if it lives.
	if err := running(v.pidfd); err != nil {
		return err
	}
	if own, err := isOwn(v.mnt, "mnt"); err != nil || own {
		return &Failure{Field: field, Err: cmp.Or(err, errNoMountNamespace)}
	}
	if err := checkOwner(v.mnt, v.spec); err != nil {
		return &Failure{Field: field, Step: "look at the mount namespace of the first process", Err: err}
	}
	return nil
}

var errNoMountNamespace = errors.New("the container has no mount namespace of its own")

func (v *visit) job() *engine.Job {
	return &engine.Job{Enter: v.pidfd, MountNamespace: v.mnt, PIDNamespace: v.pid, Warn: v.options.Warn, Trace: v.options.Trace, Name: "onggi:mounts"}
}

func (v *visit) close() {
	for _, f := range []*os.File{v.pidfd, v.mnt, v.pid} {
		if f != nil {
			f.Close()
		}
	}
}
