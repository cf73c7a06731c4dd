package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// RestoreOptions are the caller's options for Restore. ExtraFiles, ListenFDs,
// NoPivot and NotifySocket of CreateOptions have no effect: the images define the
// processes and their descriptors.
type RestoreOptions struct {
	CreateOptions
	CRIUOptions
	TCPClose        bool   // restore TCP connections as closed ones
	LSMProfile      string // TYPE:NAME: another AppArmor profile or SELinux label
	LSMMountContext string // another SELinux context of mounts
}

// Restore creates a container from the images of a checkpoint. It reads the
// configuration from the bundle, as Create does. The container runs when Restore
// returns. Only root can restore. Restore runs the prestart, createRuntime and
// poststart hooks. It does not run createContainer and startContainer hooks: the
// images contain their effects.
//
// Restore compares the mounts of the restored container with the configuration and
// fails if a mount is missing or weaker. If Restore fails or ctx ends, it removes
// every part of the container.
//
// Errors: the errors of Create, ErrNoCRIU, or a *CheckpointError.
func (r *Runtime) Restore(ctx context.Context, id string, o RestoreOptions) (_ *Container, err error) {
	defer bug.Caught(&err)
	defer nameLimit(&err)
	rest := &restoration{o: o}
	defer rest.close()
	if err := rest.prepare(r); err != nil {
		return nil, err
	}
	o.CreateOptions.ExtraFiles, o.CreateOptions.ListenFDs, o.CreateOptions.NotifySocket = nil, 0, ""
	c := &creation{Runtime: r, id: id, o: o.CreateOptions, restore: rest}
	rest.creation = c
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	defer c.scope.close()
	if err := rest.make(ctx); err != nil {
		if c.dir != nil {
			rest.rollBack(err)
		}
		return nil, err
	}
	if err := c.container.hook(ctx, "poststart", nil); err != nil {
		return nil, c.container.abandon(ctx, c.container.first.pidfd, err)
	}
	return c.container, nil
}

// A restoration is a creation in which CRIU creates the processes.
type restoration struct {
	*creation
	o      RestoreOptions
	criu   string // path of the program
	images *imageDir
	mapped *os.File // id-mapped clone of images; nil without a new user namespace
	work   *imageDir
	log    *os.File
	facts  *dumpFacts // nil if another runtime wrote the images
	links  [3]string  // descriptors 0 to 2 at the dump
	peer   *os.File   // CRIU's end of the socket
	conn   *criu.Conn
	staged []criu.Mount // mounts of the plan, by their paths in the container
	files  []inherited  // files that CRIU inherits
	opened []*os.File   // the part of files that close closes
	server int          // CRIU's pid
	pid    int          // first process; 0 until CRIU reports it
	pidfd  *os.File
	pivot  pivot // directory for the old root
}

// inherited is a file that CRIU puts in place of a file in the images.
type inherited struct {
	key  string
	file *os.File
}

// prepare checks the options, finds CRIU and opens the images. It runs before any
// part of the container exists.
func (r *restoration) prepare(run *Runtime) (err error) {
	if err := r.o.CRIUOptions.check(); err != nil {
		return err
	}
	if err := requireRoot(run); err != nil {
		return err
	}
	if r.criu, err = criu.Find(os.Getenv("PATH")); err != nil {
		return err
	}
	if r.criu, err = filepath.EvalSymlinks(r.criu); err != nil {
		return err
	}
	if strings.HasPrefix(r.criu, plan.StageDir+"/") {
		return fmt.Errorf("%s cannot restore: a restore covers %s with a file system of its own; install CRIU elsewhere", r.criu, plan.StageDir)
	}
	if err := r.openImages(); err != nil {
		return err
	}
	if r.work, err = r.images.workDir(r.o.WorkPath); err != nil {
		return err
	}
	r.log, err = r.work.createLog("restore.log")
	return err
}

// openImages opens the images and reads what the runtime needs of them.
func (r *restoration) openImages() (err error) {
	if r.images, err = openImageDir(r.o.ImagePath, false); err != nil {
		return err
	}
	if err := r.images.requireImages(); err != nil {
		return err
	}
	return r.loadFacts()
}

// loadFacts reads the files that the dump wrote for the restore.
func (r *restoration) loadFacts() error {
	facts := new(dumpFacts)
	err := r.images.load(factsFile, facts)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = r.images.load(descriptorsFile, &r.links)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	case err != nil:
		return err
	case facts.Version != factsVersion:
		return fmt.Errorf("%s/%s: version %d is not known", r.images.path, factsFile, facts.Version)
	}
	r.facts, r.links = facts, facts.Descriptors
	return nil
}

func (r *restoration) close() {
	r.undoPivot()
	r.closeImages()
	for _, f := range append(r.opened, r.log, r.peer) {
		if f != nil {
			f.Close()
		}
	}
	if r.conn != nil {
		r.conn.Close()
	}
	if r.work != nil && r.work != r.images {
		r.work.close()
	}
	if r.images != nil {
		r.images.close()
	}
}

// check refuses a configuration that CRIU cannot restore, and chooses the files
// that CRIU inherits.
func (r *restoration) check() error {
	spec := r.config.Spec
	if field, why := plan.Unrestorable(spec); why != "" {
		return &Failure{Field: field, Err: errors.New(why)}
	}
	if err := r.checkDumpedMaps(); err != nil {
		return err
	}
	if specconv.Namespace(spec, specs.MountNamespace) == nil {
		return &Failure{Field: "/linux/namespaces", Err: errors.New("a container in the host's mount namespace cannot be restored")}
	}
	if spec.Linux.MemoryPolicy != nil {
		r.warn("/linux/memoryPolicy: it is not restored")
	}
	return r.findFiles()
}

// findFiles chooses the files that CRIU inherits.
func (r *restoration) findFiles() error {
	std := [3]*os.File{r.creation.o.Stdin, r.creation.o.Stdout, r.creation.o.Stderr}
	for n, link := range r.links {
		if strings.HasPrefix(link, "pipe:[") && !r.inherits(link) {
			if err := r.inherit(link, std[n]); err != nil {
				return err
			}
		}
	}
	if r.facts == nil {
		return nil
	}
	for _, f := range r.facts.Files {
		switch {
		case f.Path == os.DevNull:
			if err := r.inherit(f.Key, nil); err != nil {
				return err
			}
		case f.FD >= 0 && f.FD < len(std) && r.links[f.FD] == f.Path: // in a joined pid namespace the pid is not 1
			if err := r.inherit(f.Key, std[f.FD]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("descriptor %d of process %d is the host's %s: a restore has nothing to open in its place", f.FD, f.Pid, f.Path)
		}
	}
	return r.openNamespaces()
}

func (r *restoration) inherits(key string) bool {
	for _, f := range r.files {
		if f.key == key {
			return true
		}
	}
	return false
}

// inherit adds a file that CRIU inherits; nil means /dev/null.
func (r *restoration) inherit(key string, file *os.File) error {
	if file == nil {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		r.opened = append(r.opened, null)
		file = null
	}
	r.files = append(r.files, inherited{key, file})
	return nil
}

// openNamespaces opens the network and the pid namespace that the configuration
// joins.
func (r *restoration) openNamespaces() error {
	for t, key := range map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "extRootNetNS", specs.PIDNamespace: "extRootPidNS"} {
		n := specconv.Namespace(r.config.Spec, t)
		if n == nil || n.Path == "" {
			continue
		}
		f, err := os.Open(n.Path)
		if err != nil {
			return &Failure{Field: "/linux/namespaces", Err: err}
		}
		r.opened = append(r.opened, f)
		r.files = append(r.files, inherited{key, f})
	}
	return nil
}

// plan plans the restore: the last step executes this CRIU.
func (r *restoration) plan(q plan.Request) (*plan.Plan, error) {
	q.Preserve = 1 + len(r.files)
	return plan.Restore(q, plan.ProgramOf{Path: r.criu, Args: criu.Arguments(criuSocket), Env: os.Environ()})
}

// criuSocket is the descriptor of the socket in CRIU's process. The inherited files
// have the numbers after it.
const criuSocket = 3

// make runs the steps that change the host. The caller rolls back after an error.
func (r *restoration) make(ctx context.Context) (err error) {
	defer bug.Caught(&err)
	err = r.makeState()
	if err == nil {
		err = r.intendPivot(ctx)
	}
	if err == nil {
		err = r.makeCgroup(ctx)
	}
	if err == nil {
		err = r.makePivot()
	}
	if err == nil {
		err = r.makeResctrl()
	}
	if err == nil {
		err = r.run(ctx)
	}
	return err
}

// run starts the stub, which executes CRIU, and sends CRIU the restore request.
func (r *restoration) run(ctx context.Context) error {
	process, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		span := r.waiting("criu: end")
		process.Close()
		span.End()
	}()
	r.server = process.Pid
	span := r.waiting("criu: version")
	err = r.conn.RequireVersion(ctx, process)
	span.EndWith(err)
	if err != nil {
		return r.failure(err)
	}
	if r.staged, err = stagedMounts(process.Pid); err != nil {
		return err
	}
	if err := r.mapImages(ctx); err != nil {
		return err
	}
	request, err := r.request()
	if err != nil {
		return err
	}
	span = r.waiting("criu: restore")
	_, err = r.conn.Do(ctx, process, request, func(n criu.Notify) error {
		span.End()
		err := r.notified(ctx, n)
		span = r.waiting("criu: restore after " + n.Name)
		return err
	})
	span.EndWith(err)
	if err != nil {
		process.End()
		return r.failure(err)
	}
	if r.container == nil {
		return r.failure(errors.New("criu claims success without a container"))
	}
	return nil
}

func (r *restoration) failure(err error) error {
	cause := err.Error()
	if criu.Failed(err) {
		if why := criu.Cause(r.log); why != "" {
			cause = why
		}
	}
	return &CheckpointError{Cause: "restore: " + cause, Log: r.log.Name(), Err: err}
}

// start executes the plan. The last call of the stub executes CRIU.
func (r *restoration) start(ctx context.Context) (*criu.Process, error) {
	unified, err := r.openUnified()
	if err != nil {
		return nil, err
	}
	if unified != nil {
		defer unified.Close()
	}
	if r.conn, r.peer, err = criu.Socket(); err != nil {
		return nil, err
	}
	r.conn.Log = r.log
	std, err := openStdio(nil, r.log, r.log)
	if err != nil {
		return nil, err
	}
	defer std.close()
	status, report, err := pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	defer report.Close()
	passed := []*os.File{r.peer}
	for _, f := range r.files {
		passed = append(passed, f.file)
	}
	p, err := r.walk(ctx, &engine.Job{
		Stdio: std.files, Preserve: passed, Cgroup: unified, Status: report, Cgroups: r.creation, Hooks: r.runHooks,
		Meanwhile: func(context.Context, int) error { return r.saveConfig() },
		Warn:      r.options.Warn, Name: "onggi:" + r.id, Trace: r.options.Trace,
	})
	if err != nil {
		return nil, err
	}
	report.Close()
	process := &criu.Process{Pid: p.Pid, Pidfd: p.Pidfd, Child: true}
	e, err := awaitExecve(ctx, status)
	p.Executed()
	p.Reap()
	if err == nil && e != 0 {
		err = fmt.Errorf("execute %s: %w", r.criu, e)
	}
	if err != nil {
		process.Close()
		return nil, err
	}
	r.peer.Close()
	r.peer = nil
	return process, nil
}

// rollBack kills and reaps the restored first process, which is a child of this
// program. Then it removes the rest as a failed Create does.
func (r *restoration) rollBack(why error) {
	if r.pidfd != nil && r.container == nil {
		ctx, stop := deadline.Within(context.Background(), waitTime)
		defer stop()
		_ = proc.Signal(r.pidfd, unix.SIGKILL)
		_, _ = proc.Reap(ctx, r.pidfd)
		r.pidfd.Close()
	}
	r.creation.rollBack(why)
}

// notified handles a notification of CRIU during the restore. After an error CRIU
// undoes the restore.
func (r *restoration) notified(ctx context.Context, n criu.Notify) error {
	switch n.Name {
	case "setup-namespaces":
		return r.setUpNamespaces(ctx, n.Pid)
	case "orphan-pts-master":
		return r.sendConsole(ctx, n.File)
	case "post-restore":
		return r.complete(ctx, n.Pid)
	}
	if n.File != nil {
		n.File.Close()
	}
	return nil
}

// sendConsole passes the terminal's master to the caller, as Create does.
func (r *restoration) sendConsole(ctx context.Context, master *os.File) error {
	if master == nil {
		return errors.New("criu sent no terminal")
	}
	take := r.console(ctx)
	if take == nil {
		master.Close()
		return nil
	}
	return take(master)
}

// setUpNamespaces sets up the new network namespace and runs the hooks that a
// container needs before its program. The container's processes do not exist yet.
func (r *restoration) setUpNamespaces(ctx context.Context, pid int) error {
	if err := r.hold(pid); err != nil {
		return err
	}
	if asksForNew(r.config.Spec, specs.NetworkNamespace) {
		if err := setUpNetwork(pid, r.config.Spec.Linux.Sysctl); err != nil {
			return err
		}
	}
	for _, kind := range []string{"prestart", "createRuntime"} {
		if len(specconv.Hooks(r.config.Spec.Hooks, kind)) > 0 {
			if err := r.runHooks(ctx, kind, pid); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete checks the mounts, sets attributes and limits, and records the container.
// CRIU resumes the container's processes after complete returns.
func (r *restoration) complete(ctx context.Context, pid int) error {
	if err := r.hold(pid); err != nil {
		return err
	}
	if err := r.checkMaps(pid); err != nil {
		return err
	}
	if err := r.checkMounts(ctx, pid); err != nil {
		return err
	}
	identity, err := proc.IdentifyFd(pid, r.pidfd)
	if err != nil {
		return err
	}
	r.record.Init, r.record.Creating = identity, proc.Identity{}
	r.setAttributes()
	if r.options.CgroupManager != cgroupDisabled {
		if err := r.setLimits(); err != nil {
			return err
		}
	}
	if err := r.dropPivot(); err != nil {
		return err
	}
	if err := r.save(ctx); err != nil {
		return err
	}
	return r.announceRestored(ctx)
}

// hold opens a pidfd of the first process. The pid comes from CRIU, so hold checks
// that the process is a child of this program. Otherwise the runtime could record
// or kill a foreign process.
func (r *restoration) hold(pid int) error {
	if r.pidfd != nil {
		if pid != r.pid {
			return fmt.Errorf("criu named process %d, and process %d before", pid, r.pid)
		}
		return nil
	}
	if pid <= 0 {
		return fmt.Errorf("criu named process %d as the first one", pid)
	}
	if pid == r.server {
		return fmt.Errorf("criu named process %d as the first one, which is its own", pid)
	}
	pidfd, err := proc.OpenPid(pid)
	if err != nil {
		return err
	}
	if err := unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		pidfd.Close()
		return fmt.Errorf("criu named process %d, which is not our child: %w", pid, err)
	}
	r.pidfd, r.pid = pidfd, pid
	return nil
}

// announceRestored creates the Container and announces it (create.go: announce).
func (r *restoration) announceRestored(ctx context.Context) error {
	r.container = newContainer(r.Runtime, r.dir, r.record)
	r.container.config.config, r.container.first.pidfd = r.config, r.pidfd
	return r.announce(ctx)
}
