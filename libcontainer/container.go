package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// Container is one container of a runtime. It is what the state directory
// says; who holds one does not keep the container alive, nor from going away.
//
// Its methods may be called by any number of goroutines at once. After Close
// they fail with os.ErrClosed, after Delete with ErrNotExist; but Wait knows the
// status that it has known.
type Container struct {
	runtime *Runtime
	dir     *state.Dir
	record  state.Record // as it was when this was loaded, or made
	calls   calls
	config  *configuration
	first   *handle
	notify  readiness
	cgroup  remains  // what Delete has to do about it
	marked  []string // cgroups that were made for it, by its mark
}

func newContainer(r *Runtime, dir *state.Dir, record state.Record) *Container {
	return &Container{runtime: r, dir: dir, record: record, config: new(configuration), first: new(handle)}
}

// Status of a State (runtime.md, "State"; "paused" is an addition).
const (
	StatusCreating = "creating" // Create is at work on it, or was killed
	StatusCreated  = "created"  // it waits for Start
	StatusRunning  = "running"
	StatusPaused   = "paused"  // it was started, and is frozen
	StatusStopped  = "stopped" // its first process has ended
)

// Load finds a container by its id.
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

// List gives the state of every container that has a readable one, and an
// error that joins what is wrong with the others. A state root that is not
// there has no containers; one that cannot be read is ErrRoot.
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

// IDs are those of the containers that List gives the states of, without asking
// how they are.
func (r *Runtime) IDs() (_ []string, err error) {
	defer bug.Caught(&err)
	var out []string
	err = r.store.Each(func(_ *state.Dir, record *state.Record) { out = append(out, record.ID) })
	return out, err
}

// owners names who has made containers, by uid: most of a host's are one
// user's, and /etc/passwd is read once for each.
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

// userName is the name of a user as the host's /etc/passwd has it (os/user
// would bring in the C library's name service).
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	passwd, err := os.ReadFile("/etc/passwd")
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

// Close lets go of what a Container holds open, once the methods that are being
// called have returned: it does not end them, nor wait. The container itself
// stays as it is. After Delete there is nothing left to close.
func (c *Container) Close() error {
	c.finish(os.ErrClosed)
	return nil
}

// ID is the container's name.
func (c *Container) ID() string { return c.record.ID }

// Pid is the host's number of the first process, dead or alive; 0 before
// there is one.
func (c *Container) Pid() int { return c.record.Init.Pid }

// State says how the container is. Nothing of it is stored: it is asked for
// anew each time.
func (c *Container) State() (_ State, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return State{}, err
	}
	defer c.leave()
	return c.state(new(cgroup.Look))
}

// OCIState is the same in the words of the specification (runtime.md, "State"):
// what a hook gets. It has no status for a paused container, which is running.
func (c *Container) OCIState() (_ *specs.State, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
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
		// Its cgroup went away with the last process, a moment ago.
	case err != nil:
		return "", err
	case frozen:
		return StatusPaused, nil
	}
	return StatusRunning, nil
}

func (c *Container) cgroups() cgroup.Paths { return cgroupPaths(c.record.Cgroup) }

// open gives a pidfd of the living first process; ErrNotRunning where there
// is none. The caller closes it.
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
	if ended, err := proc.Ended(pidfd); err != nil || ended {
		pidfd.Close()
		return nil, errors.Join(err, ErrNotRunning)
	}
	return pidfd, nil
}

// Spec is the configuration as it was when the container was created. It is the
// caller's to change.
func (c *Container) Spec() (_ *specs.Spec, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
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
	return config.Spec, nil
}

const snapshotName = "the container's config.json"

// snapshot is the configuration as far as this package uses it.
func (c *Container) snapshot() (*specconv.Config, error) {
	defer c.runtime.span("read the container's configuration").End()
	return c.config.read(c.dir)
}

// Wait waits for the end of the first process and gives its exit status, 128+n
// for signal n. It collects the process if that is a child of the calling one.
// For another's child, as after Load in another program, and where the caller
// has a reaper that was faster, the kernel is asked, which remembers since Linux
// 6.15; before, it may be ErrNoStatus. ErrNotRunning is for a container that
// had ended, and been collected, before it was loaded.
//
// It may be called while Delete ends the container, and after. The end of ctx
// ends the waiting alone.
func (c *Container) Wait(ctx context.Context) (_ int, err error) {
	defer bug.Caught(&err)
	if c.first.isKnown() {
		return c.first.reap(ctx, c.Pid())
	}
	if err := c.enter(); err != nil {
		return 0, err
	}
	defer c.leave()
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

// Processes lists the processes in the container, by the host's numbers. For
// one without a cgroup of its own only the first is known. A number may be another
// process's by the time it is used.
func (c *Container) Processes() (_ []int, err error) {
	defer bug.Caught(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
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

// HasNotify tells whether NotifyReady has anything to wait for.
func (c *Container) HasNotify() bool { return c.notify.isThere() }
