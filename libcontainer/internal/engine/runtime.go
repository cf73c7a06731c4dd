package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/caught"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/startlimit"
)

// defaultTimeout bounds one batch. A busy host needs far less.
const defaultTimeout = 30 * time.Second

func (w *walk) spawn(s plan.Spawn) error {
	if err := w.measureRoom(); err != nil {
		return err
	}
	files := make([]*os.File, w.layout.end)
	copy(files, w.Stdio[:])
	copy(files[w.layout.preserve:], w.Preserve)
	files[w.layout.status] = w.Status
	w.layout.put(files, w.layout.start, w.Start)
	w.layout.put(files, w.layout.enter, w.Enter)
	spawn := remote.Spawn{Files: files, Control: w.layout.control, Cloneflags: s.Namespaces, Timeout: w.timeout(), Argv0: w.Name, Trace: remote.Trace{Recorder: w.Trace, Task: w.task}}
	spawn.Wait = s.Cgroup || w.Spawned != nil // the OOM killer spares a process whose parent waits for it
	if s.Cgroup {
		spawn.Cgroup = w.Cgroup
	} else {
		w.layout.put(files, w.layout.cgroup, w.Cgroup)
	}
	// This has to come before the fork: signals that this process catches from
	// here on have the default action in the child.
	w.ignored = caught.Ignored()
	stub, err := remote.Prepare(w.ctx, spawn)
	if err != nil {
		return err
	}
	w.stub, w.launching = stub, w.at
	if w.Spawned == nil {
		return nil // its first batch is in the socket before it starts
	}
	if err := w.launch(); err != nil {
		return err
	}
	return w.Spawned(stub.Pid)
}

// launch starts the prepared stub, unless it is running already.
func (w *walk) launch() error {
	if w.stub == nil || w.stub.Launched() {
		return nil
	}
	it := w.items[w.launching]
	if err := w.stub.Launch(); err != nil {
		return others{failed(it, w.unborn(it, err))}
	}
	return nil
}

// unborn explains why the kernel creates no process. The kernel's rules on
// moves between cgroups are in cgroup-v2.rst, "Delegation Containment".
func (w *walk) unborn(it plan.Item, err error) error {
	switch {
	case errors.Is(err, unix.EACCES) && w.Cgroup != nil:
		return hint(it, err, "an ordinary user may move processes only within what is delegated: call from there, as systemd-run --user --scope does")
	case errors.Is(err, unix.EAGAIN):
		return hint(it, err, noMoreProcesses)
	}
	return err
}

// noMoreProcesses explains EAGAIN from clone.
const noMoreProcesses = "the limit on processes is reached: pids.max of the container's cgroup, or RLIMIT_NPROC"

// measureRoom compares the number of descriptors that the plan needs with the
// limit that the stub inherits from this process. It decides three things: the
// limit of the stub during the set-up (room), the limit to restore for the
// program (nofile), and whether mounts must be closed early (lettingGo). The
// program gets the limit of the runtime's caller, which Go may have raised.
//
// measureRoom asks for the limit of this process, before the stub is launched.
// A running stub may have other ids; asking for its limit then requires
// CAP_SYS_RESOURCE (prlimit(2)).
func (w *walk) measureRoom() error {
	const others = 64 // the layout, and descriptors that are open during a step or two
	need, hooks := uint64(others+len(w.Preserve)), false
	for _, it := range w.items {
		switch it.Step.(type) {
		case plan.Mount, plan.Bind, plan.Device, plan.Join:
			need++
		case plan.Hooks:
			hooks = true
		}
	}
	var lim unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
		return os.NewSyscallError("prlimit(RLIMIT_NOFILE)", err)
	}
	was := startlimit.Limit{Soft: lim.Cur, Hard: lim.Max}
	if before := startlimit.NoFile(); before.Raised(was) {
		w.nofile = noFile(before)
	}
	w.lettingGo = hooks || lim.Max < need
	if lim.Cur >= need {
		return nil
	}
	if w.nofile == nil {
		w.nofile = noFile(was)
	}
	w.room = noFile(startlimit.Limit{Soft: min(need, lim.Max), Hard: lim.Max})
	return nil
}

// makeRoom has the stub raise its soft limit on descriptors, if the plan needs
// more.
func (w *walk) makeRoom() {
	if w.room != nil {
		w.building.Setrlimit(w.room.Resource, w.room.Soft, w.room.Hard)
	}
}

func noFile(l startlimit.Limit) *plan.Rlimit {
	return &plan.Rlimit{Name: "RLIMIT_NOFILE", Resource: unix.RLIMIT_NOFILE, Soft: l.Soft, Hard: l.Hard}
}

// restoreLimits gives the program the limit of the runtime's caller, by a call
// in the stub's last batch. The hard limit does not change, so the call requires
// no privilege.
func (w *walk) restoreLimits() {
	if l := w.nofile; l != nil {
		w.building.Setrlimit(l.Resource, l.Soft, l.Hard)
	}
}

// put sets a descriptor that may be absent.
func (layout) put(files []*os.File, at int, f *os.File) {
	if f != nil {
		files[at] = f
	}
}

func (w *walk) timeout() time.Duration {
	if w.Timeout != 0 {
		return w.Timeout
	}
	return defaultTimeout
}

// oomScoreAdj requires a stub that has answered its first batch. Until its
// execve the stub shares the runtime's memory, and the kernel adjusts all
// processes that share memory together.
func (w *walk) oomScoreAdj(s plan.OOMScoreAdj) error {
	v := strconv.Itoa(s.Value)
	err := writeProc(w.stub.Pid, "oom_score_adj", v)
	if errors.Is(err, unix.EACCES) {
		// Lowering the value requires CAP_SYS_RESOURCE. If the value is in
		// force already, nothing is to be done.
		if have, readErr := os.ReadFile("/proc/self/oom_score_adj"); readErr == nil && string(have) == v+"\n" {
			return nil
		}
		return oomScoreDenied(s)
	}
	return err
}

// oomScoreDenied uses the words of both peers, with their capital letter.
// Docker turns "permission denied" into exit status 126, which means a program
// that cannot be executed.
func oomScoreDenied(s plan.OOMScoreAdj) error {
	const text = "failed to update /proc/self/oom_score_adj: Permission denied"
	return &Failure{
		Step: s.String(), Hint: "lowering it takes CAP_SYS_RESOURCE, which the runtime does not have",
		Errno: unix.EACCES, Err: &textError{text, unix.EACCES},
	}
}

// writeProc writes to a file of the stub in the host's procfs.
func writeProc(pid int, name, value string) error {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write(%q, %q): %w", path, value, err)
	}
	return nil
}

func (w *walk) idMaps(s plan.IDMaps) error { return w.IDMaps(w.stub.Pid, s) }

// hooks runs the hooks of a kind.
//
// A runtime without privilege enters the container's namespaces without
// privilege, too. For that the stub has to be dumpable for a moment. This is
// safe: no program of the container runs in these namespaces yet.
func (w *walk) hooks(s plan.Hooks) error {
	w.closeTrees() // an open tree would keep a mount busy that a hook wants to unmount
	if w.unprivileged() {
		w.building.SetDumpable(true)
		if err := w.settle(); err != nil {
			return err
		}
		w.building.SetDumpable(false)
	}
	return w.Hooks(w.ctx, s.Kind, w.stub.Pid)
}

// rlimits sets limits of the stub, which the program inherits. Limiting a
// process with other ids, and raising a hard limit, require CAP_SYS_RESOURCE. A
// runtime without it has the stub set the limits itself; that works unless a
// hard limit is raised.
func (w *walk) rlimits(s plan.Rlimits) error {
	var own remote.Batch
	var asked []plan.Rlimit
	for _, l := range s.Limits {
		if l.Resource == unix.RLIMIT_NOFILE {
			w.nofile = nil // config.json sets the limit; do not restore the caller's
		}
		if l.Resource == unix.RLIMIT_NPROC && w.clones() {
			if err := w.limitClone(l); err != nil {
				return err
			}
			continue
		}
		lim := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		switch err := unix.Prlimit(w.stub.Pid, l.Resource, &lim, nil); err {
		case nil:
		case unix.EPERM:
			own.Setrlimit(l.Resource, l.Soft, l.Hard)
			asked = append(asked, l)
		default:
			return rlimitFailure(w.stub.Pid, l, err)
		}
	}
	if own.Len() == 0 {
		return nil
	}
	if err := w.ask(&own); err != nil {
		return w.rlimitRefused(err, asked)
	}
	return nil
}

// rlimitRefused names the limit whose call failed.
func (w *walk) rlimitRefused(err error, asked []plan.Rlimit) error {
	ce := (*remote.CallError)(nil)
	named := errors.As(err, &ce) && ce.Index < len(asked)
	err = hint(w.items[w.at], err, "raising a hard limit takes CAP_SYS_RESOURCE, which the runtime does not have")
	if f := (*Failure)(nil); named && errors.As(err, &f) {
		f.Step = rlimitStep(asked[ce.Index])
	}
	return err
}

// rlimitStep uses runc's words.
func rlimitStep(l plan.Rlimit) string {
	return fmt.Sprintf("error setting rlimit type %d: set %s to %d:%d", l.Resource, l.Name, l.Soft, l.Hard)
}

// limitClone leaves a limit on processes to the clone. Set on the stub, it would
// count the stub and could forbid the clone itself. The runtime side raises the
// hard limit on the stub, because only it may have the privilege. Without the
// privilege, the clone's own call fails and reports EPERM.
func (w *walk) limitClone(l plan.Rlimit) error {
	w.nproc = &l
	var lim unix.Rlimit
	if err := unix.Prlimit(w.stub.Pid, l.Resource, nil, &lim); err != nil || l.Hard <= lim.Max {
		return nil //nolint:nilerr // EPERM: no privilege
	}
	lim.Max = l.Hard
	if err := unix.Prlimit(w.stub.Pid, l.Resource, &lim, nil); err != nil && err != unix.EPERM {
		return rlimitFailure(w.stub.Pid, l, err)
	}
	return nil
}

func rlimitFailure(pid int, l plan.Rlimit, err error) error {
	f := &Failure{Field: "/process/rlimits", Step: rlimitStep(l), Syscall: fmt.Sprintf("prlimit(%d, %s, {%d, %d})", pid, l.Name, l.Soft, l.Hard), Err: err}
	_ = errors.As(err, &f.Errno)
	return f
}

// fork has the stub create a child, which becomes the walk's stub.
func (w *walk) fork() error {
	if err := w.settle(); err != nil {
		return err
	}
	child, err := w.stub.Fork(&remote.Batch{}, nil)
	if err != nil {
		return err
	}
	w.replace(child)
	if w.Spawned != nil {
		return w.Spawned(child.Pid)
	}
	return nil
}

// replace continues the walk with another stub.
func (w *walk) replace(child *remote.Stub) {
	w.stub.Dismiss()
	w.dismissed = append(w.dismissed, w.stub)
	w.stub = child
}

// forkInto has the stub create a child in the container's cgroup; the child
// becomes the walk's stub. The calls before the fork are in the same batch.
// forkInto does not wait: later steps build a batch for the child, and finishFork
// collects the answer.
func (w *walk) forkInto() error {
	if err := w.collect(); err != nil {
		return err
	}
	f := *w.building
	if len(f.files)+len(f.pending) > 0 {
		return errors.New("BUG: a step before the fork waits for an answer")
	}
	*w.building = flight{}
	w.building.Tag(w.at)
	cgroup := remote.Inherited(w.layout.cgroup, "cgroup")
	forking, err := w.stub.BeginFork(&f.Batch, cgroup)
	if err != nil {
		return w.forkFailure(err)
	}
	err = w.launch()
	w.forking, w.forker, w.stub = forking, w.stub, forking.Child
	if err != nil {
		return err
	}
	w.building.Close(cgroup) // the child must not keep a directory of the host (CVE-2024-21626)
	return nil
}

// finishFork waits for the child of forkInto. By then the child's first batch is
// in its socket.
func (w *walk) finishFork() error {
	f := w.forking
	if f == nil {
		return nil
	}
	w.forking = nil
	w.stub = w.forker
	if err := f.Finish(); err != nil {
		return w.forkFailure(err)
	}
	w.replace(f.Child)
	return nil
}

// forkFailure attributes a failed fork to the step whose call failed.
func (w *walk) forkFailure(err error) error {
	ce := (*remote.CallError)(nil)
	if !errors.As(err, &ce) {
		return w.lost(err)
	}
	if isCall(ce, "clone3") {
		err = w.unborn(w.items[ce.Tag], err)
	}
	return failed(w.items[ce.Tag], err)
}
