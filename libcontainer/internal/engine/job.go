package engine

import (
	"context"
	"os"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
	"github.com/onggi-dev/onggi/specconv"
)

// Job is the input of a walk beside the plan: descriptors, and functions that
// do the caller's part of the work on the runtime side. The caller owns all
// files.
type Job struct {
	Stdio    [3]*os.File // nil for a stream that becomes the terminal
	Preserve []*os.File  // descriptors 3, 4, … of the program
	Cgroup   *os.File    // cgroup2 directory in which the stub or its child starts
	Start    *os.File    // the gate (a FIFO), open for reading and writing; nil for exec
	Status   *os.File    // receives the errno of a failed execve
	Enter    *os.File    // pidfd of the container's first process, for exec
	// Visit enters MountNamespace. A procfs that it mounts belongs to
	// PIDNamespace, which may be nil.
	MountNamespace, PIDNamespace *os.File

	Cgroups Cgroups
	// Meanwhile is called once, before the first mount, while the stub is busy. Run
	// clears it before the call: a caller that repeats Run with the same Job, after
	// the first process was killed at birth, does not repeat this work.
	// pid is the present stub, which may still fork: its child may be the
	// process that becomes the program.
	Meanwhile func(ctx context.Context, pid int) error
	Hooks     func(ctx context.Context, kind string, pid int) error
	Filter    func(ctx context.Context) (Filter, error)
	IDMaps    func(pid int, s plan.IDMaps) error
	Console   func(master *os.File) error // takes ownership of the pty master
	Listener  func(ctx context.Context, pid int, fd *os.File) error
	Spawned   func(pid int) error // called before the stub receives its first batch
	Warn      func(msg string)
	// Env returns the program's environment; home is "" unless the plan looks
	// it up.
	Env func(env []string, home string) []string

	Timeout time.Duration // for one batch
	Name    string        // argv[0] of the stub, which ps shows
	Trace   *timeline.Recorder
}

// Cgroups is the runtime side's work on the container's cgroup during the set-up.
type Cgroups interface {
	// Delegate gives the cgroup to a user.
	Delegate(uid int) error
	// EnterSub creates the cgroup sub below it for uid and moves a process
	// there.
	EnterSub(sub string, pid, uid int) error
	// LimitBandwidth limits the network traffic of the cgroup's processes.
	LimitBandwidth(egress, ingress specconv.Bandwidth) error
}

// Filter is a compiled seccomp filter.
type Filter struct {
	Program []byte // struct sock_filter's
	Flags   uint32
}

// Process is the result of a walk: a process that waits at the gate or executes
// the program.
type Process struct {
	Pid   int
	Pidfd *os.File

	dismissed []*remote.Stub
	trace     *timeline.Recorder
	stub      int // pid of the stub that received the last batch
}

// Executed ends the last batch in the trace: the program has been executed.
func (p *Process) Executed() { p.trace.EndBatches(p.stub) }

// Reap reaps the dismissed stubs, which have ended or are about to end. The
// caller calls it when it has time.
func (p *Process) Reap() {
	for _, s := range p.dismissed {
		s.Reap()
	}
	p.dismissed = nil
}

// LiveMounts lists the changes that Visit made.
type LiveMounts struct {
	Made []LiveMount // in order
	Gone []uint64    // ids of the unmounted mounts
}

// LiveMount is a mount that Visit made in a running container.
type LiveMount struct {
	Destination string
	ID          uint64 // statx(2), stx_mnt_id
}
