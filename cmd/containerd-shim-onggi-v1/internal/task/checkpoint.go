package task

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// checkpoint writes the processes of a container to a directory. With the option exit, the
// container ends. Its exit is then reported like any other.
func (g *Group) checkpoint(ctx context.Context, r *wire.CheckpointTaskRequest) (wire.Message, error) {
	t, err := g.find(r.Id)
	if err != nil {
		return nil, err
	}
	var o wire.CheckpointOptions
	if r.Options != nil {
		if err := o.UnmarshalVT(r.Options.Value); err != nil {
			return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "options of type %s: %v: invalid argument", r.Options.TypeUrl, err)
		}
	}
	images := cmp.Or(r.Path, o.ImagePath)
	if !filepath.IsAbs(images) {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "a checkpoint needs the absolute path of a directory, not %q: invalid argument", images)
	}
	g.enter()
	defer g.leave()
	if err := t.container.Checkpoint(ctx, t.dumpOptions(images, &o)); err != nil {
		return nil, statusOf(fmt.Errorf("OCI runtime checkpoint failed: %w", err))
	}
	g.send("checkpointed", "TaskCheckpointed", &wire.TaskCheckpointed{ContainerId: t.id, Checkpoint: images})
	return nil, nil
}

// dumpOptions translates containerd's options for a checkpoint.
func (t *task) dumpOptions(images string, o *wire.CheckpointOptions) libcontainer.CheckpointOptions {
	d := libcontainer.CheckpointOptions{CRIUOptions: t.criu(images), LeaveRunning: !o.Exit, ParentPath: o.ParentPath}
	d.WorkPath = cmp.Or(o.WorkPath, d.WorkPath)
	d.TCPEstablished, d.ExtUnixSockets, d.ShellJob, d.FileLocks = o.OpenTcp, o.ExternalUnixSockets, o.Terminal, o.FileLocks
	d.ManageCgroups = o.CgroupsMode
	for _, name := range o.EmptyNamespaces {
		d.EmptyNetwork = d.EmptyNetwork || name == "network"
	}
	return d
}

// restoreOptions adds the options of a restore to those of a create. containerd does not
// repeat the options of the checkpoint. Therefore the restore allows everything that a
// checkpoint with one of them may have written.
func (t *task) restoreOptions(o libcontainer.CreateOptions) libcontainer.RestoreOptions {
	r := libcontainer.RestoreOptions{CreateOptions: o, CRIUOptions: t.criu(t.checkpointed)}
	r.TCPEstablished, r.ExtUnixSockets, r.FileLocks = true, true, true
	return r
}

// criu returns the options that dump and restore share. CRIU's logs go into the bundle,
// because containerd makes an image from the directory with CRIU's images.
func (t *task) criu(images string) libcontainer.CRIUOptions {
	return libcontainer.CRIUOptions{ImagePath: images, WorkPath: cmp.Or(t.options.CRIUWorkPath, t.bundle)}
}
