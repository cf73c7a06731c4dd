package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/startlimit"
)

// limits owns the resource limits of the stub and of the program.
type limits struct {
	*batches
	nofile *plan.Rlimit // RLIMIT_NOFILE of the program, to be restored
	setUp  *plan.Rlimit // RLIMIT_NOFILE for the set-up; nil if the present limit suffices
	nproc  *plan.Rlimit // RLIMIT_NPROC, which the clone sets itself
	// tight: the stub closes a mount's descriptor as soon as the mount is attached.
	// Either the limit has no room for all of them, or hooks may want to unmount
	// them.
	tight bool
}

// measure compares the number of descriptors that the plan needs with the
// limit that the stub inherits from this process. It decides three things: the
// limit of the stub during the set-up (setUp), the limit to restore for the
// program (nofile), and whether mounts must be closed early (tight). The
// program gets the limit of the runtime's caller, which Go may have raised.
//
// measure asks for the limit of this process, before the stub is launched.
// A running stub may have other ids; asking for its limit then requires
// CAP_SYS_RESOURCE (prlimit(2)).
func (lm *limits) measure() error {
	const others = 64 // the layout, and descriptors that are open during a step or two
	need, hooks := uint64(others+len(lm.job.Preserve)), false
	for _, it := range lm.items {
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
		lm.nofile = noFile(before)
	}
	lm.tight = hooks || lim.Max < need
	if lim.Cur >= need {
		return nil
	}
	if lm.nofile == nil {
		lm.nofile = noFile(was)
	}
	lm.setUp = noFile(startlimit.Limit{Soft: min(need, lim.Max), Hard: lim.Max})
	return nil
}

// raise has the stub raise its soft limit on descriptors, if the plan needs
// more.
func (lm *limits) raise() {
	if lm.setUp != nil {
		lm.building.Setrlimit(lm.setUp.Resource, lm.setUp.Soft, lm.setUp.Hard)
	}
}

func noFile(l startlimit.Limit) *plan.Rlimit {
	return &plan.Rlimit{Name: "RLIMIT_NOFILE", Resource: unix.RLIMIT_NOFILE, Soft: l.Soft, Hard: l.Hard}
}

// restore gives the program the limit of the runtime's caller, by a call
// in the stub's last batch. The hard limit does not change, so the call requires
// no privilege.
func (lm *limits) restore() {
	if l := lm.nofile; l != nil {
		lm.building.Setrlimit(l.Resource, l.Soft, l.Hard)
	}
}

// set sets limits of the stub, which the program inherits. Limiting a
// process with other ids, and raising a hard limit, require CAP_SYS_RESOURCE. A
// runtime without it has the stub set the limits itself; that works unless a
// hard limit is raised.
func (lm *limits) set(s plan.Rlimits) error {
	var own remote.Batch
	var asked []plan.Rlimit
	for _, l := range s.Limits {
		if l.Resource == unix.RLIMIT_NOFILE {
			lm.nofile = nil // config.json sets the limit; do not restore the caller's
		}
		if l.Resource == unix.RLIMIT_NPROC && lm.clones() {
			if err := lm.limitClone(l); err != nil {
				return err
			}
			continue
		}
		lim := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		switch err := unix.Prlimit(lm.stub.Pid, l.Resource, &lim, nil); err {
		case nil:
		case unix.EPERM:
			own.Setrlimit(l.Resource, l.Soft, l.Hard)
			asked = append(asked, l)
		default:
			return rlimitFailure(lm.stub.Pid, l, err)
		}
	}
	if own.Len() == 0 {
		return nil
	}
	if err := lm.ask(&own); err != nil {
		return lm.rlimitRefused(err, asked)
	}
	return nil
}

// rlimitRefused names the limit whose call failed.
func (lm *limits) rlimitRefused(err error, asked []plan.Rlimit) error {
	ce := (*remote.CallError)(nil)
	named := errors.As(err, &ce) && ce.Index < len(asked)
	err = hint(lm.items[lm.at], err, "raising a hard limit requires CAP_SYS_RESOURCE, which the runtime does not have")
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
func (lm *limits) limitClone(l plan.Rlimit) error {
	lm.nproc = &l
	var lim unix.Rlimit
	if err := unix.Prlimit(lm.stub.Pid, l.Resource, nil, &lim); err != nil || l.Hard <= lim.Max {
		return nil //nolint:nilerr // EPERM: no privilege
	}
	lim.Max = l.Hard
	if err := unix.Prlimit(lm.stub.Pid, l.Resource, &lim, nil); err != nil && err != unix.EPERM {
		return rlimitFailure(lm.stub.Pid, l, err)
	}
	return nil
}

func rlimitFailure(pid int, l plan.Rlimit, err error) error {
	f := &Failure{Field: "/process/rlimits", Step: rlimitStep(l), Syscall: fmt.Sprintf("prlimit(%d, %s, {%d, %d})", pid, l.Name, l.Soft, l.Hard), Err: err}
	_ = errors.As(err, &f.Errno)
	return f
}
