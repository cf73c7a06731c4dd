package cgroup

import (
	"context"
	"errors"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Missing lists the directories (absolute, parents first) that Create will
// make: the intent to record before it runs.
func (p Paths) Missing() []string { return nil }

// CreateOptions is what Create needs to know beyond the paths.
type CreateOptions struct {
	Resources *specs.LinuxResources // the limits to come: their controllers must be had (may be nil)
	Warn      func(msg string)      // may be nil
}

// Create makes the cgroup in every hierarchy. It returns the paths that are in
// use from now on (fewer than p only where p.Optional), and the directories it
// made, parents first, which is what Remove wants.
func (p Paths) Create(o CreateOptions) (Paths, []string, error) { return p, nil, errors.ErrUnsupported }

// SetOptions is what Set and Update need to know beyond the limits.
type SetOptions struct {
	Devices  []specs.LinuxDeviceCgroup // rules after those of the resources; DefaultDevices for a container
	Rootless bool                      // device rules that the kernel refuses to an unprivileged runtime are left out
	Warn     func(msg string)          // may be nil
}

// Set writes the limits of a new cgroup.
func (p Paths) Set(r *specs.LinuxResources, o SetOptions) error { return errors.ErrUnsupported }

// Update changes the limits of a cgroup in use; if one is refused, all are as before.
func (p Paths) Update(r *specs.LinuxResources, o SetOptions) error { return errors.ErrUnsupported }

// DefaultDevices are the rules that every container has after its own.
func DefaultDevices() []specs.LinuxDeviceCgroup { return nil }

// Delegate gives the cgroup2 cgroup to uid (config-linux.md, "Cgroup ownership").
func (p Paths) Delegate(uid int) error { return errors.ErrUnsupported }

// SelfJoinFiles are the v1 `tasks` files: the process itself writes "0" there.
func (p Paths) SelfJoinFiles() []string { return nil }

// OpenUnified is the cgroup2 directory for CLONE_INTO_CGROUP; nil where there is none.
func (p Paths) OpenUnified() (*os.File, error) { return nil, errors.ErrUnsupported }

// Join moves a process into the cgroup, in all hierarchies.
func (p Paths) Join(pid int) error { return errors.ErrUnsupported }

// Of is where process pid really is; an error unless that is p or below it.
func (p Paths) Of(pid int) (Paths, error) { return p, errors.ErrUnsupported }

// Sub is the cgroup named by `exec --cgroup`: "[controller[,controller]:]path", each
// from p. They must exist.
func (p Paths) Sub(names []string) (Paths, error) { return p, errors.ErrUnsupported }

// Freeze stops all processes; when ctx ends first, they run again.
func (p Paths) Freeze(ctx context.Context) error { return errors.ErrUnsupported }

// Thaw lets all processes run again.
func (p Paths) Thaw(ctx context.Context) error { return errors.ErrUnsupported }

// Frozen reports whether the cgroup is frozen or being frozen.
func (p Paths) Frozen() (bool, error) { return false, errors.ErrUnsupported }

// Kill sends SIGKILL to every process in the cgroup and below. It does not wait.
func (p Paths) Kill(ctx context.Context) error { return errors.ErrUnsupported }

// Signal sends sig to every process in the cgroup and below.
func (p Paths) Signal(sig int) error { return errors.ErrUnsupported }

// Procs are the processes in the cgroup itself.
func (p Paths) Procs() ([]int, error) { return nil, errors.ErrUnsupported }

// AllProcs are the processes in the cgroup and below.
func (p Paths) AllProcs() ([]int, error) { return nil, errors.ErrUnsupported }

// WaitEmpty returns when no process is left in the cgroup and below.
func (p Paths) WaitEmpty(ctx context.Context) error { return errors.ErrUnsupported }

// Remove removes the cgroup with all below it, as far as made lists it, and
// those parents of made that are empty. It waits for dying processes.
func (p Paths) Remove(ctx context.Context, made []string) error { return errors.ErrUnsupported }

// Stats reads everything that is to be told about the cgroup.
func (p Paths) Stats() (*Stats, error) { return nil, errors.ErrUnsupported }

// Stats is runc's `events --stats` data.
type Stats struct{}

// Event is a change of the memory controller's counters.
type Event struct {
	OOM       uint64 // times the limit was reached and reclaim did not help
	OOMKill   uint64 // processes killed
	GroupKill uint64 // times the whole cgroup was killed (memory.oom.group)
}

// WatchOOM reports OOM events until ctx ends or the cgroup is gone.
func (p Paths) WatchOOM(ctx context.Context) (<-chan Event, error) { return nil, errors.ErrUnsupported }
