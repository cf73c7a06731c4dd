package engine

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/sigaction"
)

// launcher starts and forks the stub, and prepares it for its work.
type launcher struct {
	*batches
	limits  *limits
	ignored []unix.Signal // signals that this process ignores; the stub inherits that
}

func (la *launcher) harden(s plan.Harden) error {
	b := la.building
	// The kernel raises mm->user_ns to the user namespace in which the stub
	// was executed, the runtime's. So the container's root cannot inspect an
	// undumpable stub (CVE-2016-9962).
	if !s.MapsFirst {
		b.SetDumpable(false)
	}
	la.limits.raise()
	b.CloseRange(la.layout.control, unix.CLOSE_RANGE_CLOEXEC)
	b.CloseRange(la.layout.end, 0) // descriptors that the caller forgot to mark close-on-exec
	b.Umask(0)
	b.UnblockSignals()
	for _, sig := range la.ignored {
		b.DefaultSignal(sig)
	}
	return nil
}

// closeFiles closes all descriptors of the set-up: none of the host's remains in
// the stub (CVE-2024-21626). Descriptors from First on are close-on-exec.
//
// From here on a runtime without privilege needs access to the stub again, for
// exec and hooks. Then the stub becomes dumpable; it holds nothing of value now.
func (la *launcher) closeFiles(s plan.CloseFiles) {
	la.building.CloseRange(la.layout.keep+1, 0)
	la.building.CloseRange(s.First, unix.CLOSE_RANGE_CLOEXEC)
	if la.unprivileged() || s.LetIn {
		la.building.SetDumpable(true)
	}
}

// joinCgroups moves the stub into its v1 cgroups: it writes "0" to their tasks
// files. A thread that moves itself takes no lock on all forks of the host and
// waits for no RCU grace period (cgroup_procs_write_start).
func (la *launcher) joinCgroups(s plan.JoinCgroups) error {
	for _, f := range s.Files {
		fd := la.building.Open(f, unix.O_WRONLY)
		la.building.Write(fd, "0")
		la.building.Close(fd)
	}
	return nil
}

func (la *launcher) spawn(s plan.Spawn) error {
	if err := la.limits.measure(); err != nil {
		return err
	}
	files := make([]*os.File, la.layout.end)
	copy(files, la.job.Stdio[:])
	copy(files[la.layout.preserve:], la.job.Preserve)
	files[la.layout.status] = la.job.Status
	la.layout.put(files, la.layout.start, la.job.Start)
	la.layout.put(files, la.layout.enter, la.job.Enter)
	spawn := remote.Spawn{Files: files, Control: la.layout.control, Cloneflags: s.Namespaces, Timeout: la.timeout(), Argv0: la.job.Name, Trace: remote.Trace{Recorder: la.job.Trace, Task: la.task}}
	spawn.Wait = s.Cgroup || la.job.Spawned != nil // the OOM killer spares a process whose parent waits for it
	if s.Cgroup {
		spawn.Cgroup = la.job.Cgroup
	} else {
		la.layout.put(files, la.layout.cgroup, la.job.Cgroup)
	}
	// This has to come before the fork: signals that this process catches from
	// here on have the default action in the child.
	la.ignored = sigaction.Ignored()
	stub, err := remote.Prepare(la.ctx, spawn)
	if err != nil {
		return err
	}
	la.stub, la.launching = stub, la.at
	if la.job.Spawned == nil {
		return nil // its first batch is in the socket before it starts
	}
	if err := la.launch(); err != nil {
		return err
	}
	return la.job.Spawned(stub.Pid)
}

// put sets a descriptor that may be absent.
func (layout) put(files []*os.File, at int, f *os.File) {
	if f != nil {
		files[at] = f
	}
}

// oomScoreAdj requires a stub that has answered its first batch. Until its
// execve the stub shares the runtime's memory, and the kernel adjusts all
// processes that share memory together.
func (la *launcher) oomScoreAdj(s plan.OOMScoreAdj) error {
	v := strconv.Itoa(s.Value)
	err := proc.WriteFile(la.stub.Pid, "oom_score_adj", v)
	if errors.Is(err, unix.EACCES) {
		// Lowering the value requires CAP_SYS_RESOURCE. The stub inherits the value of
		// this process. If that is the requested one, nothing is left to do.
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
		Step: s.String(), Hint: "lowering it requires CAP_SYS_RESOURCE, which the runtime does not have",
		Errno: unix.EACCES, Err: &textError{text, unix.EACCES},
	}
}

// fork has the stub create a child, which becomes the walk's stub.
func (la *launcher) fork() error {
	if err := la.settle(); err != nil {
		return err
	}
	child, err := la.stub.Fork(&remote.Batch{}, nil)
	if err != nil {
		return err
	}
	la.replace(child)
	if la.job.Spawned != nil {
		return la.job.Spawned(child.Pid)
	}
	return nil
}

// forkInto has the stub create a child in the container's cgroup; the child
// becomes the walk's stub. The calls before the fork are in the same batch.
// forkInto does not wait: later steps build a batch for the child, and finishFork
// collects the answer.
func (la *launcher) forkInto() error {
	if err := la.collect(); err != nil {
		return err
	}
	f := *la.building
	if len(f.files)+len(f.pending) > 0 {
		return errors.New("BUG: a step before the fork waits for an answer")
	}
	*la.building = flight{}
	la.building.Tag(la.at)
	cgroup := remote.Inherited(la.layout.cgroup, "cgroup")
	forking, err := la.stub.BeginFork(&f.Batch, cgroup)
	if err != nil {
		return la.forkFailure(err)
	}
	err = la.launch()
	la.forking, la.forker, la.stub = forking, la.stub, forking.Child
	if err != nil {
		return err
	}
	la.building.Close(cgroup) // the child must not keep a directory of the host (CVE-2024-21626)
	return nil
}
