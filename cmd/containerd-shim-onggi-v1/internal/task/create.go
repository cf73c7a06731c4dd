package task

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/rootfs"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/stdio"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/specconv"
)

// create mounts the root file system and creates the container, or restores it from a
// checkpoint. If a step fails, it undoes the steps before.
func (g *Group) create(ctx context.Context, r *wire.CreateTaskRequest) (wire.Message, error) {
	switch {
	case r.Id == "" || !filepath.IsAbs(r.Bundle):
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "a task needs an id and the absolute path of a bundle, not %q and %q: invalid argument", r.Id, r.Bundle)
	case r.Checkpoint != "" && !filepath.IsAbs(r.Checkpoint):
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "a restore needs the absolute path of a checkpoint, not %q: invalid argument", r.Checkpoint)
	}
	o, err := options.Parse(r.Options)
	if err != nil {
		return nil, ttrpc.Errorf(ttrpc.InvalidArgument, "%v: invalid argument", err)
	}
	if err := g.reserve(r.Id); err != nil {
		return nil, err
	}
	g.enter()
	defer g.leave()
	t, err := g.newTask(ctx, r, o)
	if err != nil {
		Forget(r.Bundle)
		g.put(r.Id, nil)
		return nil, statusOf(fmt.Errorf("OCI runtime create failed: %w: unknown", err))
	}
	pid := uint32(t.container.Pid())
	g.send("create", "TaskCreate", &wire.TaskCreate{
		ContainerId: r.Id, Bundle: r.Bundle, Rootfs: r.Rootfs, Pid: pid,
		Io: &wire.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	// Watch for the end only now: the exit event must come after the create event.
	if err := t.observe(); err != nil {
		err = errors.Join(err, t.undo())
		g.put(r.Id, nil)
		return nil, fmt.Errorf("OCI runtime create failed: %w: unknown", err)
	}
	g.put(r.Id, t)
	return &wire.PidResponse{Pid: pid}, nil
}

func (g *Group) newTask(ctx context.Context, r *wire.CreateTaskRequest, o options.Options) (_ *task, err error) {
	config, err := specconv.Load(filepath.Join(r.Bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	for _, w := range config.Warnings {
		g.log(w)
	}
	t := &task{
		group: g, id: r.Id, bundle: r.Bundle, options: o, execs: map[string]*process{},
		checkpointed: r.Checkpoint, begun: make(chan struct{}), sharesPID: !ownPIDs(config.Spec),
		first: newProcess(stdio.Config{
			Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal, UID: o.UID, GID: o.GID,
			Copy: copies(config.Spec.Process), ID: r.Id, Namespace: g.namespace,
		}),
	}
	t.begin = sync.OnceFunc(func() { close(t.begun) })
	if t.checkpointed == "" {
		t.begin()
	}
	if err := Remember(r.Bundle, o); err != nil {
		return nil, err
	}
	if len(r.Rootfs) > 0 {
		t.rootfs = filepath.Join(r.Bundle, "rootfs")
		if err := rootfs.Mount(r.Rootfs, t.rootfs); err != nil {
			return nil, err
		}
	}
	if err := t.build(ctx, config.Spec); err != nil {
		return nil, errors.Join(err, t.unmount())
	}
	return t, nil
}

// build opens the streams and creates the container.
func (t *task) build(ctx context.Context, spec *specs.Spec) error {
	runtime, err := t.group.runtime(t.options, manager(t.options, spec))
	if err != nil {
		return err
	}
	streams, err := stdio.Open(ctx, t.first.config)
	if err != nil {
		return err
	}
	o := libcontainer.CreateOptions{
		Bundle: t.bundle, NoPivot: t.options.NoPivot, NoNewKeyring: t.options.NoNewKeyring,
		Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr,
	}
	if t.first.config.Terminal {
		o.Console = streams.Console
	}
	if t.checkpointed == "" {
		t.container, err = runtime.Create(ctx, t.id, o)
	} else {
		t.container, err = runtime.Restore(ctx, t.id, t.restoreOptions(o))
	}
	if err != nil {
		streams.Close()
		return err
	}
	streams.Passed()
	t.first.setIO(streams)
	t.first.runs(t.container.Pid(), wire.Status_CREATED)
	return nil
}

// undo removes a container whose watch could not be set up.
func (t *task) undo() error {
	t.begin()
	err := t.container.Delete(context.Background(), true)
	t.first.closeIO()
	t.close()
	Forget(t.bundle)
	return errors.Join(err, t.unmount())
}

func (t *task) unmount() error {
	if t.rootfs == "" {
		return nil
	}
	return rootfs.Unmount(t.rootfs)
}

// manager returns the cgroup manager. A cgroupsPath of the form slice:prefix:name means
// systemd, even if the engine does not pass the option.
func manager(o options.Options, spec *specs.Spec) string {
	if o.SystemdCgroup || spec.Linux != nil && strings.Count(spec.Linux.CgroupsPath, ":") == 2 {
		return "systemd"
	}
	return "cgroupfs"
}

// ownPIDs reports whether the container has a pid namespace of its own. The kernel then ends
// all its processes with the first one (pid_namespaces(7)).
func ownPIDs(spec *specs.Spec) bool {
	if spec.Linux == nil {
		return false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.PIDNamespace {
			return ns.Path == ""
		}
	}
	return false
}

// knownProfiles are AppArmor profiles that allow a process to reopen a FIFO of its caller by
// name (/dev/stdout). A process with another profile gets a pipe, which has no name.
var knownProfiles = map[string]bool{"": true, "unconfined": true, "docker-default": true, "cri-containerd.apparmor.d": true, "nerdctl-default": true}

// copies reports whether the shim has to copy the output of a process, because a security
// module might refuse a named file to the process.
func copies(p *specs.Process) bool {
	return p != nil && (p.SelinuxLabel != "" || !knownProfiles[p.ApparmorProfile])
}
