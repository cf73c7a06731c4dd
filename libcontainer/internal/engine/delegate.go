package engine

import (
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/specconv"
)

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

func (w *walk) delegateCgroup(s plan.DelegateCgroup) error { return w.Cgroups.Delegate(int(s.UID)) }

func (w *walk) subCgroup(s plan.SubCgroup) error {
	return w.Cgroups.EnterSub(s.Path, w.stub.Pid, int(s.UID))
}
