package libcontainer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bounded"
	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

var le = binary.LittleEndian

// Process is a further process of a container, started by Exec. The caller has to call
// Wait: until then an ended process stays a zombie, even after Close and after the
// container's Delete. Any number of goroutines may call the methods at once. After
// Close, Signal and Wait fail with os.ErrClosed, unless Wait knows the exit status.
type Process struct {
	pid    int
	handle handle
	trace  *timeline.Recorder
}

// Exec runs one more process in a created or running container. It returns when the
// process has executed its program, or the error of a failed execve. If ctx ends
// before that, nothing of the process is left. After that, ctx has no meaning.
//
// Errors: ErrNotRunning, ErrPaused, ErrNoConsole, or a *Failure.
func (c *Container) Exec(ctx context.Context, o ExecOptions) (_ *Process, err error) {
	defer bug.Caught(&err)
	defer nameLimit(&err)
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer c.leave()
	pidfd, err := c.open()
	if errors.Is(err, ErrNotRunning) {
		return nil, fmt.Errorf("cannot exec in a stopped container: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	if err := checkFiles(o.ExtraFiles, o.Stdin, o.Stdout, o.Stderr); err != nil {
		return nil, err
	}
	if err := c.checkExec(o); err != nil {
		return nil, err
	}
	config, err := c.snapshot()
	if err != nil {
		return nil, err
	}
	p, err := o.process(config.Spec)
	if err != nil {
		return nil, err
	}
	if err := checkProcess(config.Spec, p, o); err != nil {
		return nil, err
	}
	paths := c.entrance()
	if len(o.Cgroup) > 0 {
		if paths, err = c.cgroups().Sub(o.Cgroup); err != nil {
			return nil, err
		}
	}
	process, err := c.execIn(ctx, p, o, pidfd, paths)
	if len(o.Cgroup) == 0 && divided(err) {
		if now, e := c.cgroups().Of(c.record.Init.Pid); e == nil {
			if err := checkPaused(now, o); err != nil {
				return nil, err
			}
			process, err = c.execIn(ctx, p, o, pidfd, now)
		}
	}
	return process, err
}

// execIn starts the process in a cgroup. If the kernel kills it at birth there, execIn
// starts one that moves to the cgroup.
func (c *Container) execIn(ctx context.Context, p *specs.Process, o ExecOptions, pidfd *os.File, paths cgroup.Paths) (*Process, error) {
	born := paths.Unified != nil
	process, err := c.exec(ctx, p, o, pidfd, paths, born)
	if born && errors.Is(err, errStillborn) {
		if ended, e := proc.Ended(pidfd); ended && e == nil { // the whole container was killed
			return nil, fmt.Errorf("cannot exec in a stopped container: %w", ErrNotRunning)
		}
		process, err = c.exec(ctx, p, o, pidfd, paths, false)
	}
	return process, err
}

// errStillborn means that the kernel has killed the process at birth in its cgroup.
// Some versions (6.18 among them, 6.1 not) do that to every process that is cloned
// into a cgroup other than its parent's, once cgroup.kill has been written in one of
// the two. Such a process has to move there instead, which costs milliseconds.
var errStillborn = errors.New("killed at birth in the container's cgroup")

func (c *Container) checkExec(o ExecOptions) error {
	defer c.runtime.span("see whether it is paused").End()
	return checkPaused(c.cgroups(), o)
}

// checkPaused refuses a frozen cgroup. Exec calls it for each cgroup in which it may
// start the process, because a container can freeze a part of its own cgroup.
func checkPaused(paths cgroup.Paths, o ExecOptions) error {
	if o.IgnorePaused {
		return nil
	}
	frozen, err := paths.Frozen()
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if frozen {
		return fmt.Errorf("cannot exec in a paused container: %w (use --ignore-paused to override)", ErrPaused)
	}
	return nil
}

func checkProcess(spec *specs.Spec, p *specs.Process, o ExecOptions) error {
	if err := specconv.ValidateProcess(spec, p); err != nil {
		return oneLine(err)
	}
	switch {
	case p.Terminal && o.ConsoleSocket == "" && o.Console == nil:
		return &Failure{Field: "/process/terminal", Err: ErrNoConsole}
	case !p.Terminal && o.ConsoleSocket != "":
		return errors.New("cannot use console socket if the runtime will not detach or allocate tty")
	}
	return nil
}

func (c *Container) exec(ctx context.Context, p *specs.Process, o ExecOptions, pidfd *os.File, paths cgroup.Paths, born bool) (*Process, error) {
	walk, err := c.planExec(p, len(o.ExtraFiles), paths, born)
	if err != nil {
		return nil, err
	}
	status, report, err := pipe()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	defer report.Close()
	std, err := openStdio(o.Stdin, o.Stdout, o.Stderr)
	if err != nil {
		return nil, err
	}
	defer std.close()
	job := &engine.Job{
		Stdio: std.files, Preserve: o.ExtraFiles, Status: report, Enter: pidfd,
		Filter:   c.filter,
		Console:  consoleFunc(ctx, o.ConsoleSocket, o.Console),
		Listener: c.sendListener,
		Env:      func(env []string, home string) []string { return environment(env, home, 0) },
		Warn:     c.runtime.options.Warn, Name: "onggi:" + c.record.ID, Trace: c.runtime.options.Trace,
	}
	if born {
		if job.Cgroup, err = paths.OpenUnified(); err != nil {
			return nil, err
		}
		defer job.Cgroup.Close()
	}
	child, err := engine.Run(ctx, walk, job)
	if born && engine.Stillborn(err) {
		return nil, fmt.Errorf("%w: %w", errStillborn, err)
	}
	if err != nil {
		return nil, err
	}
	report.Close()
	process := &Process{pid: child.Pid, handle: handle{pidfd: child.Pidfd}, trace: job.Trace}
	err = c.awaitProgram(ctx, child, status, pidfd, p)
	if err == nil {
		err = process.announce(ctx, o)
	}
	if err != nil {
		process.kill()
		return nil, err
	}
	return process, nil
}

// awaitProgram waits until the process has executed its program.
func (c *Container) awaitProgram(ctx context.Context, child *engine.Process, status, pidfd *os.File, p *specs.Process) (err error) {
	defer bug.Caught(&err)
	span := c.runtime.waiting("execve of the program")
	e, err := awaitExecve(ctx, status)
	span.End()
	if err == nil && e == 0 {
		err = neverExecuted(child.Pid, p)
	}
	child.Executed()
	span = c.runtime.waiting("end of the stub")
	child.Settle()
	span.End()
	if err == nil && e != 0 {
		held := hold(pidfd, c.record.Init.Pid)
		defer held.close()
		err = c.explainExec(ctx, held, p, e)
	}
	return err
}

// pipe is os.Pipe without Go's poller, which is not needed here.
func pipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(fds[0]), "status"), os.NewFile(uintptr(fds[1]), "report"), nil
}

func (c *Container) filter(ctx context.Context) (engine.Filter, error) {
	config, err := c.snapshot()
	if err != nil {
		return engine.Filter{}, err
	}
	return c.runtime.filter(ctx, config)
}

func (c *Container) sendListener(ctx context.Context, pid int, fd *os.File) error {
	config, err := c.snapshot()
	if err != nil {
		return err
	}
	s := config.Spec.Linux.Seccomp
	return seccomp.SendListener(ctx, s.ListenerPath, processState(s, c.specState(specs.StateRunning), pid), fd)
}

// explainExec returns the error of a failed execve, with its cause. p is nil for the
// first process.
func (c *Container) explainExec(ctx context.Context, held namespaces, p *specs.Process, e unix.Errno) error {
	config, err := c.snapshot()
	if err != nil {
		return errors.Join(e, err)
	}
	if p == nil {
		p = config.Spec.Process
	}
	return held.execFailure(ctx, config.Spec, p, e)
}

func (p *Process) announce(ctx context.Context, o ExecOptions) (err error) {
	defer bug.Caught(&err)
	if o.PidfdSocket != "" {
		if err := sendPidfd(ctx, o.PidfdSocket, p.handle.pidfd, "setns"); err != nil {
			return err
		}
	}
	return writePidFile(o.PidFile, p.pid)
}

func (p *Process) kill() {
	_ = p.Signal(unix.SIGKILL)
	ctx, stop := bounded.Within(context.Background(), waitTime)
	defer stop()
	p.handle.collect(ctx)
	p.Close()
}

// Pid returns the host's pid of the process.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal to the process. The error is unix.ESRCH once the process has
// been reaped.
func (p *Process) Signal(sig unix.Signal) error { return proc.Signal(p.handle.pidfd, sig) }

// Wait waits until the process has ended and returns its exit status, or 128+n after
// signal n. The process is a child of the caller. Another reaper of the caller may be
// faster: see Container.Wait. The end of ctx ends only the wait. Wait may be called
// again, and by several goroutines at once.
func (p *Process) Wait(ctx context.Context) (_ int, err error) {
	defer bug.Caught(&err)
	defer p.trace.Begin(timeline.Wait, "wait for the program").End()
	if !p.handle.isKnown() {
		if err := proc.Wait(ctx, p.handle.pidfd); err != nil {
			return 0, err
		}
	}
	return p.handle.reap(ctx, p.pid)
}

// Close closes the pidfd. The process goes on, and so does a Wait in progress.
func (p *Process) Close() error { return p.handle.pidfd.Close() }

// process returns the process to run: the options, laid over the container's own
// process.
func (o *ExecOptions) process(spec *specs.Spec) (*specs.Process, error) {
	if o.Process != nil {
		return confined(*o.Process, spec.Process), nil
	}
	if spec.Process == nil {
		return nil, errors.New("the container's configuration has no process to take the rest from: give a complete one")
	}
	p := *spec.Process
	p.Args, p.Terminal, p.ConsoleSize = o.Args, o.Tty, nil
	p.Env = append(slices.Clone(p.Env), o.Env...)
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	if o.NoNewPrivs {
		p.NoNewPrivileges = true
	}
	if o.Apparmor != "" {
		p.ApparmorProfile = o.Apparmor
	}
	if o.ProcessLabel != "" {
		p.SelinuxLabel = o.ProcessLabel
	}
	p.User.AdditionalGids = append(slices.Clone(p.User.AdditionalGids), o.AdditionalGids...)
	if err := o.user(&p); err != nil {
		return nil, err
	}
	return &p, o.capabilities(&p)
}

// confined completes a process that the caller has described in full with the
// container's confinement. A process without capabilities does not get all that the
// runtime has. runc does the same, except for the resource limits.
func confined(p specs.Process, own *specs.Process) *specs.Process {
	if own == nil {
		own = &specs.Process{}
	}
	if p.Capabilities == nil {
		p.Capabilities = own.Capabilities
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = own.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = own.SelinuxLabel
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = own.Rlimits
	}
	return &p
}

// user sets uid and gid from digits only. A name would have to be looked up in a file
// of the container (CVE-2016-3697), and a number that is too large must not become
// root (CVE-2026-30892).
func (o *ExecOptions) user(p *specs.Process) error {
	if o.User == "" {
		return nil
	}
	uid, gid, both := strings.Cut(o.User, ":")
	u, err := parseID(uid)
	if err != nil {
		return fmt.Errorf("user %q: bad uid: %w", o.User, err)
	}
	g := p.User.GID
	if both {
		if g, err = parseID(gid); err != nil {
			return fmt.Errorf("user %q: bad gid: %w", o.User, err)
		}
	}
	p.User.UID, p.User.GID = u, g
	return nil
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil || s[0] == '+':
		return 0, errors.New("want uid[:gid], both numbers from 0 to 4294967294")
	case n == 1<<32-1:
		return 0, errors.New("4294967295 means \"no id\"")
	}
	return uint32(n), nil
}

// capabilities adds capabilities to the bounding, effective and permitted sets, and to
// the ambient set if config.json has an inheritable set. runc does the same. The
// inheritable set does not change (CVE-2022-29162): a capability outside of it does
// not become ambient.
func (o *ExecOptions) capabilities(p *specs.Process) error {
	if len(o.Caps) == 0 {
		return nil
	}
	if _, unknown := specconv.CapabilityMask(o.Caps); len(unknown) > 0 {
		return fmt.Errorf("unknown capabilities: %q", unknown)
	}
	var c specs.LinuxCapabilities
	if p.Capabilities != nil {
		c = *p.Capabilities
	}
	sets := []*[]string{&c.Bounding, &c.Effective, &c.Permitted}
	if c.Inheritable != nil {
		sets = append(sets, &c.Ambient)
	}
	for _, set := range sets {
		*set = append(slices.Clone(*set), o.Caps...)
	}
	p.Capabilities = &c
	return nil
}
