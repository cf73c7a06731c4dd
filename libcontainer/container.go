package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Container is a handle on one container of a runtime. Its facts come from the
// state directory. A Container does not keep the container alive, and does not
// keep anyone from deleting it.
//
// Any number of goroutines may call its methods at once. After Close they fail with
// os.ErrClosed, after Delete with ErrNotExist. Wait still returns an exit status
// that the Container knows.
type Container struct {
	runtime *Runtime
	dir     *state.Dir
	record  state.Record // as of Load or Create
	calls   calls
	config  *configuration
	first   *handle
	notify  readiness
	cgroup  remains  // Delete's treatment of the cgroup
	marked  []string // cgroup directories made for it, according to its mark
}

func newContainer(r *Runtime, dir *state.Dir, record state.Record) *Container {
	return &Container{runtime: r, dir: dir, record: record, config: new(configuration), first: new(handle)}
}

// Values of State.Status (runtime.md, "State"). The specification has no "paused".
const (
	StatusCreating = "creating" // Create is running, or was killed
	StatusCreated  = "created"  // the first process waits for Start
	StatusRunning  = "running"
	StatusPaused   = "paused"  // started, and its cgroup is frozen
	StatusStopped  = "stopped" // the first process has ended
)

// Load returns the container with this id. The error is ErrNotExist if there is no
// such container or if its state directory has no record.
func (r *Runtime) Load(id string) (_ *Container, err error) {
	defer bug.Caught(&err)
	defer r.span("load the state").End()
	dir, err := r.store.Open(id)
	if err != nil {
		return nil, err
	}
	record, err := dir.Load()
	if err != nil {
		dir.Close()
		return nil, err
	}
	return newContainer(r, dir, *record), nil
}

// List returns the state of every container with a readable state, and an error
// that joins the problems of the others. A state root that does not exist has no
// containers. The error is ErrRoot if the state root cannot be used.
func (r *Runtime) List() (_ []State, err error) {
	defer bug.Caught(&err)
	var out []State
	var errs []error
	names, look := owners{}, cgroup.LookAtMany()
	err = r.store.Each(func(dir *state.Dir, record *state.Record) {
		c := newContainer(r, dir, *record)
		s, err := c.state(look)
		if err != nil {
			errs = append(errs, fmt.Errorf("container %s: %w", record.ID, err))
			return
		}
		s.Owner = names.of(dir)
		out = append(out, s)
	})
	return out, errors.Join(append(errs, err)...)
}

// IDs returns the ids of the containers with a readable state. It does not ask for
// their status.
func (r *Runtime) IDs() (_ []string, err error) {
	defer bug.Caught(&err)
	var out []string
	err = r.store.Each(func(_ *state.Dir, record *state.Record) { out = append(out, record.ID) })
	return out, err
}

// owners caches user names by uid. Most containers of a host belong to one user, so
// /etc/passwd is read only once for each.
type owners map[uint32]string

func (o owners) of(dir *state.Dir) string {
	uid := dir.Owner()
	name, ok := o[uid]
	if !ok {
		name = userName(uid)
		o[uid] = name
	}
	return name
}

// passwdMax bounds the read part of the host's /etc/passwd, as of a container's.
const passwdMax = 1 << 20

// readStart reads the first bytes of a file, and does not wait for a FIFO.
func readStart(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// userName returns the name of a user in the host's /etc/passwd, or "#" and the uid.
// os/user would use the name service of the C library.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	passwd, err := readStart("/etc/passwd", passwdMax)
	if err != nil {
		return "#" + id
	}
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[2] == id {
			return f[0]
		}
	}
	return "#" + id
}

// Close closes the descriptors of the Container as soon as no method is in progress
// any more. It does not wait for such methods and does not end them. The container
// itself is not affected. After a successful Delete nothing is left to close. The
// error is always nil.
func (c *Container) Close() error {
	c.finish(os.ErrClosed)
	return nil
}

// ID returns the container's id.
func (c *Container) ID() string { return c.record.ID }

// Pid returns the host's pid of the first process, also after the process has ended.
// It is 0 before there is a first process.
func (c *Container) Pid() int { return c.record.Init.Pid }

// State returns the state of the container. The status is not stored anywhere: each
// call asks the kernel.
func (c *Container) State() (_ State, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return State{}, err
	}
	defer c.release()
	return c.state(new(cgroup.Look))
}

// OCIState returns the state in the form of the specification (runtime.md, "State"),
// in which hooks receive it. A paused container is "running" there.
func (c *Container) OCIState() (_ *specs.State, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	status, err := c.status()
	if err != nil {
		return nil, err
	}
	if status == StatusPaused {
		status = StatusRunning
	}
	s := c.specState(specs.ContainerState(status))
	s.Version = c.record.OCIVersion
	return &s, nil
}

func (c *Container) state(look *cgroup.Look) (State, error) {
	status, err := c.statusAt(look)
	if err != nil {
		return State{}, err
	}
	s := State{
		OCIVersion: c.record.OCIVersion, ID: c.record.ID, Status: status, Bundle: c.record.Bundle, Rootfs: c.record.Rootfs,
		Created: c.record.Created, Annotations: c.record.Annotations,
	}
	if status != StatusStopped {
		s.InitProcessPid = c.record.Init.Pid
	}
	return s, nil
}

func (c *Container) status() (string, error) { return c.statusAt(new(cgroup.Look)) }

func (c *Container) statusAt(look *cgroup.Look) (string, error) {
	defer c.runtime.span("see how the container is").End()
	if c.record.Init.IsZero() {
		return StatusCreating, nil
	}
	alive, err := c.record.Init.Alive()
	if err != nil {
		return "", err
	}
	if !alive {
		return StatusStopped, nil
	}
	if gated, err := c.dir.Gated(); err != nil || gated {
		return StatusCreated, err
	}
	frozen, err := look.Frozen(c.cgroups())
	switch {
	case errors.Is(err, unix.ENOENT):
		// The cgroup disappeared a moment ago, with the last process.
	case err != nil:
		return "", err
	case frozen && c.stays():
		return StatusPaused, nil
	}
	return StatusRunning, nil
}

func (c *Container) cgroups() cgroup.Paths { return cgroupPaths(c.record.Cgroup) }

// open returns a pidfd of the first process, or ErrNotRunning if that process has
// ended. The caller closes the pidfd.
func (c *Container) open() (*os.File, error) {
	defer c.runtime.span("find the first process").End()
	if c.record.Init.IsZero() || c.first.isKnown() {
		return nil, ErrNotRunning
	}
	pidfd, err := c.first.open(c.record.Init)
	if errors.Is(err, proc.ErrGone) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	if err := running(pidfd); err != nil {
		pidfd.Close()
		return nil, err
	}
	return pidfd, nil
}

// running returns ErrNotRunning if the process of pidfd has ended. A poll(2) that fails
// proves nothing, and is an error of its own: delete would spare a living process.
func running(pidfd *os.File) error {
	ended, err := proc.Ended(pidfd)
	if err == nil && ended {
		return ErrNotRunning
	}
	return err
}

// Spec returns a copy of the configuration with which the container was created. It has
// the mount namespace that Create has added, if any (specconv.KeepMountsPrivate). The
// caller may change it.
func (c *Container) Spec() (_ *specs.Spec, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	return c.spec()
}

func (c *Container) spec() (*specs.Spec, error) {
	config, err := c.snapshot()
	if err == nil {
		config, err = specconv.Parse(snapshotName, config.Raw)
	}
	if err != nil {
		return nil, err
	}
	specconv.KeepMountsPrivate(config.Spec)
	return config.Spec, nil
}

const snapshotName = "the container's config.json"

// HasHooks reports whether the configuration has hooks of one of the kinds, for example
// "poststart".
func (c *Container) HasHooks(kinds ...string) (_ bool, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return false, err
	}
	defer c.release()
	config, err := c.snapshot()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(kinds, func(kind string) bool {
		return len(specconv.Hooks(config.Spec.Hooks, kind)) > 0
	}), nil
}

// snapshot returns the saved configuration, which may lack the system calls of the
// seccomp profile (specconv.Reparse).
func (c *Container) snapshot() (*specconv.Config, error) {
	defer c.runtime.span("read the container's configuration").End()
	return c.config.read(c.dir)
}

// Wait waits until the first process has ended and returns its exit status, or 128+n
// after signal n. It reaps the process if that is a child of the calling process.
//
// The process may be the child of another program (after Load), or another reaper of
// the caller may be faster. Then Wait asks the kernel, which remembers the status
// since Linux 6.15. An older kernel may have forgotten it: the error is ErrNoStatus.
// The error is ErrNotRunning if the process had ended and been reaped before the
// container was loaded.
//
// Wait may be called while Delete ends the container, and after Delete. The end of
// ctx ends only the wait.
func (c *Container) Wait(ctx context.Context) (_ int, err error) {
	defer bug.Caught(&err)
	if c.first.isKnown() {
		return c.first.reap(ctx, c.Pid())
	}
	if err := c.acquire(); err != nil {
		return 0, err
	}
	defer c.release()
	defer c.runtime.waiting("wait for the container").End()
	pidfd, err := c.first.toWait(c.record.Init)
	if errors.Is(err, proc.ErrGone) {
		return 0, ErrNotRunning
	}
	if err != nil {
		return 0, err
	}
	if pidfd != nil {
		if err := proc.Wait(ctx, pidfd); err != nil {
			return 0, err
		}
	}
	return c.first.reap(ctx, c.Pid())
}

// Processes returns the host's pids of all processes in the container. In a container
// without a cgroup of its own only the first process is known. The list is empty if none
// lives; that is no error. A pid may belong to another process by the time it is used.
func (c *Container) Processes() (_ []int, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	return c.processes()
}

func (c *Container) processes() ([]int, error) {
	alive, err := c.record.Init.Alive()
	if err != nil {
		return nil, err
	}
	if c.hasCgroup() && (alive || c.outlived()) {
		own, err := c.owns(alive)
		if err != nil {
			return nil, err
		}
		if own {
			return c.cgroups().AllProcs()
		}
	}
	if !alive {
		return nil, nil
	}
	return []int{c.record.Init.Pid}, nil
}

func (c *Container) specState(status specs.ContainerState) specs.State {
	s := specs.State{Version: specs.Version, ID: c.record.ID, Status: status, Bundle: c.record.Bundle, Annotations: c.record.Annotations}
	if status != specs.StateStopped {
		s.Pid = c.record.Init.Pid
	}
	return s
}

// HasNotify reports whether NotifyReady has a socket to wait on.
func (c *Container) HasNotify() bool { return c.notify.isThere() }
