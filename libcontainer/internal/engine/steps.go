package engine

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
)

// step adds the calls of a step to the batch, or does the step at once if it
// belongs to the runtime side.
func (w *walk) step(s plan.Step) error {
	switch s := s.(type) {
	case plan.Spawn:
		return w.spawn(s)
	case plan.Harden:
		return w.harden(s)
	case plan.Session:
		w.building.Setsid()
		return nil
	case plan.OOMScoreAdj:
		return w.oomScoreAdj(s)
	case plan.DelegateCgroup:
		return w.delegateCgroup(s)
	case plan.SubCgroup:
		return w.subCgroup(s)
	case plan.LimitBandwidth:
		return w.Cgroups.LimitBandwidth(s.Egress, s.Ingress)
	case plan.JoinCgroups:
		return w.joinCgroups(s)
	case plan.EnterRootfs:
		w.building.Chdir(s.Path)
		return nil
	case plan.Join:
		return w.join(s)
	case plan.Enter:
		return w.enter(s)
	case plan.Unshare:
		return w.unshare(s)
	case plan.IDMaps:
		return w.idMaps(s)
	case plan.BecomeRoot:
		return w.becomeRoot(s)
	case plan.TimeOffsets:
		return w.timeOffsets(s)
	case plan.EnterTime:
		return w.enterTime()
	case plan.Fork:
		return w.fork()
	case plan.ForkInto:
		return w.forkInto()
	case plan.SessionKeyring:
		return w.sessionKeyring(s)
	case plan.JoinResctrl:
		return resctrl.Join(s.Dirs, w.stub.Pid)
	case plan.NetDevice:
		return w.netDevice(s)
	case plan.LoopbackUp:
		return w.loopbackUp()
	case plan.Propagation:
		w.building.MountSetattr(remote.Cwd(), "/", s.Flags&unix.MS_REC != 0, remote.Attr{Propagation: s.Flags &^ unix.MS_REC})
		return nil
	case plan.AttachRootfs:
		return w.attachRootfs(s)
	case plan.Mount:
		return w.mount(s)
	case plan.Bind:
		return w.bind(s)
	case plan.Remount:
		return w.remount(s)
	case plan.Device:
		return w.device(s)
	case plan.Symlink:
		return w.symlink(s)
	case plan.Sysctl:
		return w.sysctl(s)
	case plan.Hooks:
		return w.hooks(s)
	case plan.Terminal:
		return w.terminal(s)
	case plan.Readonly:
		return w.readonly(s)
	case plan.Masks:
		return w.masks(s)
	case plan.Pivot:
		return w.pivot(s)
	case plan.ChangeRoot:
		return w.changeRoot()
	case plan.RootAttrs:
		w.attributes(w.root, s.Attrs)
		return nil
	case plan.MakeCwd:
		w.building.Close(w.building.Openat2(w.root, relative(s.Path), unix.O_PATH, 0, remote.InRoot))
		return nil
	case plan.Hostname:
		return w.hostname(s)
	case plan.Umask:
		w.building.Umask(s.Mask)
		return nil
	case plan.SecurityLabel:
		return w.securityLabel(s)
	case plan.NoNewPrivs:
		w.building.Prctl("PR_SET_NO_NEW_PRIVS", unix.PR_SET_NO_NEW_PRIVS, 1)
		return nil
	case plan.Scheduling:
		return w.scheduling(s)
	case plan.Personality:
		w.building.Personality(s.Domain)
		return nil
	case plan.Affinity:
		return w.affinity(s)
	case plan.Rlimits:
		return w.rlimits(s)
	case plan.Cwd:
		return w.enterCwd(s)
	case plan.BoundingSet:
		return w.boundingSet(s)
	case plan.Identity:
		return w.identity(s)
	case plan.Capabilities:
		return w.capabilities(s)
	case plan.FindProgram:
		return w.findProgram(s)
	case plan.Home:
		return w.lookUpHome(s)
	case plan.CloseFiles:
		w.closeFiles(s)
		return nil
	case plan.TakeAlong:
		return w.takeAlong()
	case plan.HoldRoot:
		w.holdRoot()
		return nil
	case plan.Unmount:
		return w.unmount(s)
	}
	if _, ok := s.(done); ok {
		return nil
	}
	panic("BUG: no meaning for step " + plan.Name(s))
}

// slow handles a step whose call failed. again reports that the cause is
// repaired and that the step is worth another try. Errors with a better
// explanation come back in err.
func (w *walk) slow(it plan.Item, b *remote.Batch, ce *remote.CallError) (again bool, err error) {
	if ce.Errno == unix.EAGAIN && w.retry.count < maxRetries {
		return true, nil // a rename anywhere, while openat2 resolved ".."
	}
	if ce.Errno == unix.EXDEV && isCall(ce, "openat2") && !w.places.crossed {
		w.places.crossed = true // see onRoot
		return true, nil
	}
	switch s := it.Step.(type) {
	case plan.Mount:
		return w.slowMount(it, s, ce)
	case plan.Bind:
		return w.slowBind(it, s, b, ce)
	case plan.Device:
		return w.slowDevice(it, s, ce)
	case plan.Symlink:
		return w.slowSymlink(it, s, ce)
	case plan.Terminal:
		return w.slowTerminal(it, s, ce)
	case plan.Home:
		return w.slowHome(s, ce)
	case plan.MakeCwd:
		return w.slowCwd(it, plan.Cwd{Path: s.Path, Create: true}, ce)
	case plan.Cwd:
		return w.slowCwd(it, s, ce)
	case plan.Sysctl:
		return w.slowSysctl(it, s, ce)
	case plan.Unshare:
		return false, unshareFailure(it, s, ce)
	case plan.TimeOffsets:
		return false, timeFailure(it, failed(it, ce))
	case plan.Scheduling:
		return false, schedulingFailure(it, s, ce)
	case plan.Remount:
		return false, w.slowRemount(it, s, b, ce)
	case plan.SecurityLabel:
		return false, labelFailure(it, s, ce)
	}
	return false, nil
}

// isLast reports whether the step belongs to the last batch.
func isLast(s plan.Step) bool {
	switch s.(type) {
	case plan.Seccomp, plan.CloneInto, plan.Gate, plan.Execute:
		return true
	}
	return false
}
