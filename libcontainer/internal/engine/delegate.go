package engine

import (
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/specconv"
)

// Cgroups is what the runtime side does to the container's cgroup while the
// container is being set up.
type Cgroups interface {
	// Delegate gives the cgroup to a user.
	Delegate(uid int) error
	// EnterSub moves a process into a cgroup below it, made for uid.
	EnterSub(sub string, pid, uid int) error
	// LimitBandwidth limits what its processes send and receive.
	LimitBandwidth(egress, ingress specconv.Bandwidth) error
}

func (w *walk) delegateCgroup(s plan.DelegateCgroup) error { return w.Cgroups.Delegate(int(s.UID)) }

func (w *walk) subCgroup(s plan.SubCgroup) error {
	return w.Cgroups.EnterSub(s.Path, w.stub.Pid, int(s.UID))
}
