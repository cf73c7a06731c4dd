package libcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/dcache"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/specconv"
)

// Create reads the configuration, once, and sets the container up until its first
// process waits for Start (runtime.md, "Operations"). id has 1 to 255 characters
// of [A-Za-z0-9_+.-]. If Create fails or ctx ends, nothing of the container is
// left behind; a clean-up that fails is a warning.
//
// Errors: ErrInvalidID, ErrExist, ErrRoot, ErrNoConsole, specconv.Problems for a wrong
// configuration, or a *Failure for a failed step.
func (r *Runtime) Create(ctx context.Context, id string, o CreateOptions) (_ *Container, err error) {
	defer bug.Caught(&err)
	defer nameLimit(&err)
	c, err := r.prepare(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer c.scope.close()
	if err := checkLabels(lsm.Host{}, c.config.Spec); err != nil {
		return nil, err
	}
	if err := c.checkPrivilege(); err != nil {
		return nil, err
	}
	if err := c.checkResctrl(); err != nil {
		return nil, err
	}
	if err := c.make(ctx); err != nil {
		if c.dir != nil {
			c.rollBack(err)
		}
		return nil, err
	}
	return c.container, nil
}

// make runs the steps that leave something behind. The caller undoes them after an
// error.
func (c *creation) make(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	err = c.makeState()
	if err == nil {
		err = c.makeCgroup(ctx)
	}
	if err == nil {
		err = c.makeResctrl()
	}
	if err == nil {
		err = c.setUp(ctx)
	}
	if err == nil {
		err = c.announce(ctx)
	}
	return err
}

// creation is a container while Create makes it.
type creation struct {
	*Runtime
	id     string
	o      CreateOptions
	config *specconv.Config
	bundle string
	rootfs string
	host   plan.Host
	plan   *plan.Plan
	paths  cgroup.Paths
	scope  *scope // nil unless systemd manages the cgroups

	resctrl     *resctrl.Group // nil without intelRdt
	resctrlErr  error          // why the host cannot have the group
	madeResctrl []string       // directories of the group that exist for this container alone

	dir       *state.Dir
	record    state.Record
	draft     state.Record // record with the first process, once draftState has written it
	missing   []string     // cgroup directories that did not exist before
	made      []string     // cgroup directories that this create has made
	hasCgroup bool         // the cgroup is claimed: no other container has processes in it
	hooked    bool         // hooks have run, so a failed create runs the poststop hooks
	restore   *restoration // set if CRIU makes the processes
	container *Container
}

// prepare reads the configuration and makes all checks that are possible
// beforehand. It changes nothing on the host.
func (r *Runtime) prepare(ctx context.Context, id string, o CreateOptions) (*creation, error) {
	c := &creation{Runtime: r, id: id, o: o}
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// ready fills in everything that follows from the options.
func (c *creation) ready(ctx context.Context) error {
	if err := state.ValidID(c.id); err != nil {
		return err
	}
	if err := c.load(); err != nil {
		return err
	}
	spec := c.config.Spec
	if err := c.validate(); err != nil {
		return oneLine(err)
	}
	if err := c.checkTerminal(); err != nil {
		return err
	}
	if err := c.o.checkFiles(); err != nil {
		return err
	}
	if err := c.findRootfs(ctx); err != nil {
		return err
	}
	for _, w := range append(c.config.Warnings, specconv.Warnings(spec)...) {
		c.warn(w)
	}
	c.warnOfRootfs(spec.Mounts)
	if c.restore != nil {
		if err := c.restore.check(); err != nil { // the plan needs the number of inherited files
			return err
		}
	}
	if err := c.makePlan(ctx); err != nil {
		c.scope.close()
		return err
	}
	return nil
}

// warnOfRootfs warns about mount destinations that begin with the path of the root
// file system. The plan leaves that path out.
func (c *creation) warnOfRootfs(mounts []specs.Mount) {
	for i, m := range mounts {
		if at := plan.InRootfs(c.rootfs, m.Destination); at != m.Destination {
			c.warnf("/mounts/%d/destination: %s begins with the path of the root file system, and is taken as %s", i, m.Destination, at)
		}
	}
}

func (c *creation) validate() error {
	defer c.span("validate the configuration").End()
	return specconv.Validate(c.config.Spec)
}

// checkPrivilege refuses a container without a user namespace if the runtime lacks
// CAP_SYS_ADMIN. A user namespace is the only namespace that an ordinary user can
// create. Inside it the user has the privileges for everything else.
func (c *creation) checkPrivilege() error {
	if capabilities()&(1<<unix.CAP_SYS_ADMIN) != 0 || specconv.Namespace(c.config.Spec, specs.UserNamespace) != nil {
		return nil
	}
	return &Failure{Field: "/linux/namespaces", Err: fmt.Errorf("an ordinary user can only make containers with a user namespace (see onggi spec --rootless): %w", unix.EPERM)}
}

func (c *creation) load() error {
	defer c.span("read the configuration").End()
	if err := c.read(); err != nil {
		return err
	}
	if w := specconv.KeepMountsPrivate(c.config.Spec); w != "" {
		c.warn(w)
	}
	return nil
}

func (c *creation) read() (err error) {
	bundle := c.o.Bundle
	if bundle == "" {
		bundle = "."
	}
	if c.bundle, err = filepath.Abs(bundle); err != nil {
		return err
	}
	if c.o.Spec != nil {
		raw, err := json.Marshal(c.o.Spec)
		if err != nil {
			return err
		}
		c.config, err = specconv.Parse("the given configuration", raw)
		return err
	}
	file := c.o.ConfigFile
	if file == "" {
		file = filepath.Join(c.bundle, "config.json")
	}
	c.config, err = specconv.Load(file)
	return err
}

func (c *creation) findRootfs(ctx context.Context) error {
	defer c.span("find the root file system").End()
	root := c.config.Spec.Root
	if root == nil {
		return &Failure{Field: "/root", Err: errors.New("missing")}
	}
	path := root.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.bundle, path)
	}
	real, err := findDirectory(ctx, path)
	switch {
	case err != nil:
		f := &Failure{Field: "/root/path", Step: "find the root file system", Syscall: fmt.Sprintf("stat(%q)", path)}
		if !errors.As(err, &f.Errno) {
			f.Err = err // the file system did not answer
		}
		return f
	case real == "/":
		return &Failure{Field: "/root/path", Err: errors.New("the host's root directory cannot be the root of a container")}
	}
	c.rootfs = real
	return nil
}

// rootfsTime bounds the wait for the file system that holds the root directory.
const rootfsTime = 30 * time.Second

// findDirectory follows links: one to the root file system is the caller's, not
// the container's. Its file system may not answer.
func findDirectory(ctx context.Context, path string) (string, error) {
	if f, err := dcache.Open(path, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS); err == nil {
		f.Close()
		return filepath.Clean(path), nil
	}
	f, err := openDirectory(ctx, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return "", err
	}
	return real, requireSame(ctx, f, real)
}

func openDirectory(ctx context.Context, path string) (*os.File, error) {
	f, err := dcache.Open(path, unix.O_DIRECTORY, 0)
	if err != nil {
		f, err = engine.OpenPath(ctx, path, unix.O_DIRECTORY, rootfsTime)
	}
	return f, err
}

// requireSame checks that real, the kernel's path of dir, leads to dir. A link such as
// /proc/PID/root leads into another mount namespace. The kernel's path counts from the root
// of that one, and would lead to another directory here.
func requireSame(ctx context.Context, dir *os.File, real string) error {
	here, err := openDirectory(ctx, real)
	if err == nil {
		defer here.Close()
		var a, b unix.Stat_t
		if unix.Fstat(int(dir.Fd()), &a) == nil && unix.Fstat(int(here.Fd()), &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino {
			return nil
		}
	}
	return fmt.Errorf("it is in another mount namespace, as %s there", real)
}

// makePlan finds the place of the cgroup and plans the set-up.
func (c *creation) makePlan(ctx context.Context) (err error) {
	defer c.span("find a place for the cgroup, and plan").End()
	spec := c.config.Spec
	host := plan.Host{Rootless: c.rootless, InUserns: c.rootless && c.inUserns, KeepGroups: c.rootless && deniesGroups(spec), Capabilities: grantable(spec), NoKcore: unix.Access("/proc/kcore", unix.F_OK) == unix.ENOENT}
	if c.options.CgroupManager == cgroupDisabled && limited(spec) {
		c.warn("/linux/resources: without cgroups there are no limits")
	}
	if c.options.CgroupManager != cgroupDisabled {
		if c.paths, c.scope, err = c.place(ctx, spec, c.id); err != nil {
			return err
		}
	}
	if names := plan.Ungranted(spec.Process, host.Capabilities); len(names) > 0 {
		c.warnf("/process/capabilities: not granted, the runtime does not have them: %v", names)
	}
	if err := checkGroups(host, spec, spec.Process); err != nil {
		return err
	}
	c.host = host
	c.chooseResctrl()
	return c.makePlanFor(c.scope == nil)
}

// makePlanFor plans the set-up. If born is true, the kernel creates the first
// process in its cgroup2 cgroup (CLONE_INTO_CGROUP). Otherwise the process moves
// there.
func (c *creation) makePlanFor(born bool) error {
	defer c.span("plan").End()
	host := c.host
	describeCgroups(&host, c.paths)
	if host.Unified && !born {
		host.Unified = false
		host.CgroupTasks = append(host.CgroupTasks, c.paths.Unified.Abs()+"/cgroup.procs")
	}
	make := plan.Create
	if c.restore != nil {
		make = c.restore.plan
	}
	p, err := make(plan.Request{
		Spec: c.config.Spec, ID: c.id, Rootfs: c.rootfs, Bundle: c.bundle, NoPivot: c.o.NoPivot, NoNewKeyring: c.o.NoNewKeyring,
		Preserve: len(c.o.ExtraFiles), Host: host, NotifyDir: c.notifyDir(), Resctrl: c.resctrlDirs(),
	})
	c.plan = p
	return err
}

func describeCgroups(h *plan.Host, p cgroup.Paths) {
	h.Unified = p.Unified != nil
	h.CgroupTasks = p.SelfJoinFiles()
	for _, m := range p.Mounts() {
		h.Cgroups = append(h.Cgroups, plan.CgroupMount{Name: m.Name, Links: m.Links, V2: m.V2, Options: m.Options, Path: m.Path, Root: m.Mountpoint})
	}
}

// makeState fills in the record and creates the state directory, which claims the
// id.
func (c *creation) makeState() (err error) {
	defer c.span("make the state directory").End()
	spec := c.config.Spec
	c.record = state.Record{
		OCIVersion: spec.Version, ID: c.id, Bundle: c.bundle, Rootfs: c.rootfs, Created: time.Now().UTC(),
		Annotations: spec.Annotations, Rootless: c.rootless, NoNewKeyring: c.o.NoNewKeyring, NotifySocket: c.o.NotifySocket,
	}
	c.noteCgroup()
	if c.dir, err = c.store.Create(c.id); err != nil {
		return c.noPlace(err)
	}
	if c.o.NotifySocket == "" {
		return nil
	}
	return c.dir.MakeNotify()
}

// noPlace adds advice to the error of an ordinary user who cannot create the state
// directory.
func (c *creation) noPlace(err error) error {
	if os.Geteuid() == 0 || !errors.Is(err, unix.EACCES) {
		return err
	}
	return &Failure{Step: "make the state directory", Err: err, Hint: "the state root of an ordinary user is below $XDG_RUNTIME_DIR: set it, or use --root"}
}

// makeCgroup saves the intents and creates the cgroup. Each directory is recorded
// before it is made. The limits follow in setLimits.
func (c *creation) makeCgroup(ctx context.Context) error {
	c.intend()
	c.intendSub()
	c.intendResctrl()
	if err := c.save(ctx); err != nil {
		return err
	}
	if c.scope != nil {
		return nil // startScope makes it around the first process
	}
	err := c.createCgroup()
	for n := 1; errors.Is(err, cgroup.ErrVanished) && n < cgroup.Tries; n++ {
		c.intendAgain() // by now more directories are missing
		if err := c.save(ctx); err != nil {
			return err
		}
		err = c.createCgroup()
	}
	return err
}

func (c *creation) save(ctx context.Context) error {
	defer c.span("save the state").End()
	return c.dir.Save(ctx, &c.record)
}

func (c *creation) createCgroup() error {
	defer c.span("make the cgroup").End()
	paths, made, err := c.paths.Create(cgroup.CreateOptions{Resources: c.resources(), Warn: c.options.Warn, Ours: c.scope != nil, Missing: c.missing})
	if err != nil {
		return cgroupFailure(err)
	}
	fewer := c.paths.Unified != nil && paths.Unified == nil
	if err := c.claimCgroup(paths, made); err != nil {
		return cgroupFailure(err)
	}
	c.noteCgroup()
	if !paths.Optional && !fewer {
		return nil
	}
	return c.makePlanFor(true) // without the hierarchies in which it could not be made
}

// openUnified opens the cgroup2 directory in which the kernel creates the first
// process. It returns nil if the process has to move there, or if there is no
// cgroup2 hierarchy.
func (c *creation) openUnified() (*os.File, error) {
	if c.scope != nil {
		return nil, nil
	}
	return c.paths.OpenUnified()
}

// cgroupFailure attributes an error to cgroupsPath, unless the error names the
// field of a limit itself.
func cgroupFailure(err error) error {
	if field, _ := cgroup.SplitField(err); field != "" {
		return err
	}
	return &Failure{Field: "/linux/cgroupsPath", Step: "unable to apply cgroup configuration", Err: err}
}

// meanwhile saves the configuration, drafts the state and sets the limits. All of
// it has to be done before anything of the container is in the stub. The engine
// calls it while the kernel makes namespaces for the stub.
func (c *creation) meanwhile(ctx context.Context, pid int) error {
	if err := c.saveConfig(); err != nil {
		return err
	}
	if err := c.draftState(ctx, pid); err != nil {
		return err
	}
	if c.options.CgroupManager == cgroupDisabled {
		return nil
	}
	return c.setLimits()
}

func (c *creation) saveConfig() error {
	defer c.span("save the configuration").End()
	return c.dir.SaveConfig(c.config.Raw)
}

// draftState writes the record that will be valid at the gate, provided that the
// process with this pid becomes the first process. saveProcess publishes it.
func (c *creation) draftState(ctx context.Context, pid int) error {
	defer c.span("draft the state").End()
	identity, err := proc.Identify(pid)
	if err != nil {
		return err
	}
	c.draft = c.record
	c.draft.Init, c.draft.Creating = identity, proc.Identity{}
	return c.dir.Draft(ctx, &c.draft)
}

// saveProcess records the first process. If the draft names the same process, it is
// published; otherwise a new record is written.
func (c *creation) saveProcess(ctx context.Context, p *engine.Process) error {
	if c.draft.Init.Pid == p.Pid {
		defer c.span("save the state").End()
		c.record = c.draft
		return c.dir.Publish(ctx)
	}
	identity, err := proc.IdentifyFd(p.Pid, p.Pidfd)
	if err != nil {
		return err
	}
	c.record.Init, c.record.Creating = identity, proc.Identity{}
	return c.save(ctx)
}

func (c *creation) setLimits() error {
	defer c.span("set the cgroup's limits").End()
	resources := c.resources()
	if resources == nil {
		resources = &specs.LinuxResources{}
	}
	return ofField(c.paths.Set(resources, cgroup.SetOptions{Devices: cgroup.DefaultDevices(), Rootless: c.rootless, Warn: c.options.Warn}))
}

func (c *creation) resources() *specs.LinuxResources {
	if c.config.Spec.Linux == nil {
		return nil
	}
	return c.config.Spec.Linux.Resources
}

// setUp starts the first process and executes the plan.
func (c *creation) setUp(ctx context.Context) error {
	span := c.span("make the gate")
	gate, err := c.dir.MakeGate()
	span.End()
	if err != nil {
		return err
	}
	defer gate.Close()
	unified, err := c.openUnified()
	if err != nil {
		return err
	}
	if unified != nil {
		defer unified.Close()
	}
	std, err := openStdio(c.o.Stdin, c.o.Stdout, c.o.Stderr)
	if err != nil {
		return err
	}
	defer std.close()
	p, err := c.walk(ctx, &engine.Job{
		Stdio: std.files, Preserve: c.o.ExtraFiles, Cgroup: unified, Start: gate.Start, Status: gate.Status,
		Cgroups: c, Hooks: c.runHooks, Filter: c.filter, Meanwhile: c.meanwhile, IDMaps: writeIDMaps, Console: c.console(ctx), Listener: c.sendListener,
		Env: c.environment, Warn: c.options.Warn, Name: "onggi:" + c.id, Trace: c.options.Trace,
	})
	if err != nil {
		return err
	}
	defer p.Reap()
	err = c.saveProcess(ctx, p)
	c.container = newContainer(c.Runtime, c.dir, c.record)
	c.container.config.config, c.container.first.pidfd = c.config, p.Pidfd
	return err
}

// walk executes the plan.
func (c *creation) walk(ctx context.Context, job *engine.Job) (*engine.Process, error) {
	switch {
	case c.scope != nil:
		job.Spawned = func(pid int) error { return c.startScope(ctx, pid) }
	case c.record.Cgroup.V1 == nil && c.record.Cgroup.Unified == nil:
		job.Spawned = func(pid int) error { return c.nameProcess(ctx, pid) }
	}
	p, err := engine.Run(ctx, c.plan, job)
	if job.Cgroup != nil && engine.KilledAtBirth(err) && !c.oomKilled() {
		p, err = c.moveIn(ctx, job)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return p, nil
}

// nameProcess saves the identity of the stub before it can reach the gate. If create
// is killed while the container has no cgroup, or none with its mark yet, delete
// finds the process only by this record.
func (c *creation) nameProcess(ctx context.Context, pid int) (err error) {
	if c.record.Creating, err = proc.Identify(pid); err != nil {
		return err
	}
	return c.save(ctx)
}

// moveIn repeats the set-up after the kernel has killed the first process at birth
// (see errKilledAtBirth). The new first process moves to its cgroup.
func (c *creation) moveIn(ctx context.Context, job *engine.Job) (*engine.Process, error) {
	if err := c.makePlanFor(false); err != nil {
		return nil, err
	}
	job.Cgroup = nil
	return engine.Run(ctx, c.plan, job)
}

// announce sends the pidfd and writes the pid file, once the first process is in the
// state.
func (c *creation) announce(ctx context.Context) error {
	defer c.span("announce the process").End()
	if err := c.sendPidfds(ctx); err != nil {
		return err
	}
	return writePidFile(c.o.PidFile, c.record.Init.Pid)
}

// rollBack undoes a failed create. The engine has killed the failed process already,
// unless the failure came after the last batch. After a panic in the middle of
// making the cgroup the state stays: delete --force needs it to find the cgroup.
func (c *creation) rollBack(why error) {
	defer c.span("undo what was done").End()
	ctx, stop := deadline.Within(context.Background(), cleanUpTime)
	defer stop()
	if c.container != nil {
		_ = proc.Signal(c.container.first.pidfd, unix.SIGKILL)
		_, _ = proc.Reap(ctx, c.container.first.pidfd)
		c.container.first.close()
	}
	if c.hasCgroup {
		if err := c.undoCgroup(ctx); err != nil {
			c.warnf("clean up after the failed create: %v", err)
		}
	}
	c.removeResctrl()
	if err := c.scope.stop(ctx); err != nil {
		c.warnf("clean up after the failed create: %v", err)
	}
	if c.hooked {
		c.runEndHooks(ctx)
	}
	defer c.dir.Close()
	if bug.Is(why) && !c.hasCgroup && len(c.missing) > 0 {
		c.warnf("the state of %s is left for delete --force", c.id)
		return
	}
	_ = c.dir.Retire(ctx)
	if err := c.dir.Remove(ctx); err != nil {
		c.warnf("clean up after the failed create: %v", err)
	}
}

// cleanUpTime bounds the clean-up after a failed create.
const cleanUpTime = 10 * time.Second
