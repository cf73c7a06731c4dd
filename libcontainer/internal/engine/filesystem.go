package engine

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// newMount creates a detached mount.
func (r *rootfs) newMount(s plan.Mount) (*remote.FD, error) {
	ctx := r.fileSystem(s)
	if err := r.parameters(ctx, s.Params); err != nil {
		return nil, err
	}
	b := r.building
	b.FsconfigCreate(ctx)
	m := b.Fsmount(ctx, s.At.Path, s.Attrs.Set)
	b.Close(ctx)
	if s.RootLabel != "" {
		root := b.Openat2(m, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, remote.Beneath)
		b.Fsetxattr(root, "security.selinux", s.RootLabel)
		b.Close(root)
	}
	return m, nil
}

// fileSystem begins a file system, with the source that mountinfo will show.
func (r *rootfs) fileSystem(s plan.Mount) *remote.FD {
	ctx := r.building.Fsopen(s.Type)
	if s.Source != "" {
		r.building.FsconfigString(ctx, "source", s.Source)
	}
	return ctx
}

// parameters sets the parameters. It flushes if they do not fit into one batch.
func (r *rootfs) parameters(ctx *remote.FD, list []plan.Param) error {
	for _, p := range list {
		if r.overfull() {
			if err := r.settle(); err != nil {
				return err
			}
		}
		if p.Value == "" {
			r.building.FsconfigFlag(ctx, p.Key)
		} else {
			r.building.FsconfigString(ctx, p.Key, p.Value)
		}
	}
	return nil
}
