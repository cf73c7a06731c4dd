package engine

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
)

// unshare ends a batch. The creation of namespaces is the slow part of a start,
// so the runtime side works in the meantime, in this order: the caller's work
// (callMeanwhile), many bind sources in groups (handOver), the remaining sources
// (meanwhile). Then the trees go to the stub with the next batch.
func (w *walk) unshare(s plan.Unshare) error {
	w.building.Unshare(s.Flags)
	if err := w.cut(); err != nil {
		return err
	}
	if err := w.sources.callMeanwhile(); err != nil {
		return err
	}
	if err := w.sources.handOver(); err != nil {
		return err
	}
	if err := w.sources.meanwhile(); err != nil {
		return err
	}
	w.expect()
	w.sources.receiveTrees()
	return nil
}

// attachRootfs attaches a clone of the root file system over the original. It is
// the first step that uses trees. Before it, the runtime side opens all sources on the
// host, maps their ids, and hands them to the stub in one message or a few. So it opens
// no source after anything is mounted in the container. There is one exception: if the
// kernel refuses a mount, the runtime side opens its bind mount from the host (lateTree).
func (w *walk) attachRootfs(s plan.AttachRootfs) error {
	if err := w.sources.deliver(); err != nil {
		return err
	}
	b := w.building
	w.files.root = b.OpenTree(remote.Cwd(), ".", true)
	w.files.root.SetName("rootfs")
	if s.MaskSources {
		w.files.masks.createSources(s)
	}
	b.MoveMountAt(w.files.root, ".")
	b.Fchdir(w.files.root)
	return w.files.notProc(w.files.root, plan.Place{Path: "/"})
}

// hooks runs the hooks of a kind.
//
// A runtime without privilege enters the container's namespaces without
// privilege, too. For that the stub has to be dumpable for a moment. This is
// safe: no program of the container runs in these namespaces yet.
func (w *walk) hooks(s plan.Hooks) error {
	w.sources.closeTrees() // an open tree would keep a mount busy that a hook wants to unmount
	if w.unprivileged() {
		w.building.SetDumpable(true)
		if err := w.settle(); err != nil {
			return err
		}
		w.building.SetDumpable(false)
	}
	return w.job.Hooks(w.ctx, s.Kind, w.stub.Pid)
}

// step adds the calls of a step to the batch, or does the step at once if it
// belongs to the runtime side.
func (w *walk) step(s plan.Step) error {
	switch s := s.(type) {
	case plan.Spawn:
		return w.launcher.spawn(s)
	case plan.Harden:
		return w.launcher.harden(s)
	case plan.Session:
		w.building.Setsid()
		return nil
	case plan.OOMScoreAdj:
		return w.launcher.oomScoreAdj(s)
	case plan.DelegateCgroup:
		return w.job.Cgroups.Delegate(int(s.UID))
	case plan.SubCgroup:
		return w.job.Cgroups.EnterSub(s.Path, w.stub.Pid, int(s.UID))
	case plan.LimitBandwidth:
		return w.job.Cgroups.LimitBandwidth(s.Egress, s.Ingress)
	case plan.JoinCgroups:
		return w.launcher.joinCgroups(s)
	case plan.EnterRootfs:
		w.building.Chdir(s.Path)
		return nil
	case plan.Join:
		return w.namespaces.join(s)
	case plan.Enter:
		if w.visit != nil {
			w.visit.enter(s)
		} else {
			w.enterFirst(s.Flags)
		}
		return nil
	case plan.Unshare:
		return w.unshare(s)
	case plan.IDMaps:
		return w.job.IDMaps(w.stub.Pid, s)
	case plan.BecomeRoot:
		return w.namespaces.becomeRoot(s)
	case plan.TimeOffsets:
		return w.namespaces.timeOffsets(s)
	case plan.EnterTime:
		return w.namespaces.enterTime()
	case plan.Fork:
		return w.launcher.fork()
	case plan.ForkInto:
		return w.launcher.forkInto()
	case plan.SessionKeyring:
		return w.program.credentials.sessionKeyring(s)
	case plan.JoinResctrl:
		return resctrl.Join(s.Dirs, w.stub.Pid)
	case plan.NetDevice:
		return w.namespaces.netDevice(s)
	case plan.LoopbackUp:
		return w.namespaces.loopbackUp()
	case plan.Propagation:
		w.building.MountSetattr(remote.Cwd(), "/", s.Flags&unix.MS_REC != 0, remote.Attr{Propagation: s.Flags &^ unix.MS_REC})
		return nil
	case plan.AttachRootfs:
		return w.attachRootfs(s)
	case plan.Mount:
		return w.files.mounts.mount(s)
	case plan.Bind:
		return w.files.binds.bind(s)
	case plan.Remount:
		return w.files.mounts.remount(s)
	case plan.Device:
		return w.files.devices.create(s)
	case plan.Symlink:
		return w.files.devices.symlink(s)
	case plan.Sysctl:
		return w.files.procfs.sysctl(s)
	case plan.Hooks:
		return w.hooks(s)
	case plan.Terminal:
		return w.files.terminal.open(s)
	case plan.Readonly:
		return w.files.masks.readonly(s)
	case plan.Masks:
		return w.files.masks.cover(s)
	case plan.Pivot:
		return w.files.pivot(s)
	case plan.Stage:
		w.files.stage(s)
		return nil
	case plan.ChangeRoot:
		return w.files.changeRoot()
	case plan.RootAttrs:
		w.files.attributes(w.files.root, s.Attrs)
		return nil
	case plan.MakeCwd:
		w.building.Close(w.building.Openat2(w.files.root, relative(s.Path), unix.O_PATH, 0, remote.InRoot))
		return nil
	case plan.Hostname:
		return w.namespaces.hostname(s)
	case plan.Umask:
		w.building.Umask(s.Mask)
		return nil
	case plan.SecurityLabel:
		return w.program.credentials.securityLabel(s)
	case plan.NoNewPrivs:
		w.building.Prctl("PR_SET_NO_NEW_PRIVS", unix.PR_SET_NO_NEW_PRIVS, 1)
		return nil
	case plan.Scheduling:
		return w.program.scheduling.set(s)
	case plan.Personality:
		w.building.Personality(s.Domain)
		return nil
	case plan.Affinity:
		return w.program.scheduling.setAffinity(s)
	case plan.Rlimits:
		return w.limits.set(s)
	case plan.Cwd:
		return w.program.workdir.enter(s)
	case plan.BoundingSet:
		return w.program.credentials.boundingSet(s)
	case plan.Identity:
		return w.program.credentials.identity(s)
	case plan.Capabilities:
		return w.program.credentials.capabilities(s)
	case plan.FindProgram:
		return w.program.find(s)
	case plan.Home:
		return w.program.home.lookUp(s)
	case plan.CloseFiles:
		w.launcher.closeFiles(s)
		return nil
	case plan.TakeAlong:
		return w.visit.takeAlong()
	case plan.HoldRoot:
		w.files.holdRoot()
		return nil
	case plan.Unmount:
		return w.files.mounts.unmount(s)
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
	if ce.Errno == unix.EXDEV && ce.Nr == unix.SYS_OPENAT2 && !w.files.crossed {
		w.files.crossed = true // see onRoot
		return true, nil
	}
	switch s := it.Step.(type) {
	case plan.Mount:
		return w.files.mounts.slowMount(it, s, ce)
	case plan.Bind:
		return w.files.binds.slowBind(it, s, b, ce)
	case plan.Device:
		return w.files.devices.slowDevice(it, s, ce)
	case plan.Symlink:
		return w.files.devices.slowSymlink(it, s, ce)
	case plan.Terminal:
		return w.files.terminal.slow(it, s, ce)
	case plan.Home:
		return w.program.home.slow(s, ce)
	case plan.MakeCwd:
		return w.program.workdir.slow(it, plan.Cwd{Path: s.Path, Create: true}, ce)
	case plan.Cwd:
		return w.program.workdir.slow(it, s, ce)
	case plan.Sysctl:
		return w.files.procfs.slowSysctl(it, s, ce)
	case plan.Unshare:
		return false, unshareFailure(it, s, ce)
	case plan.TimeOffsets:
		return false, timeFailure(it, failed(it, ce))
	case plan.Scheduling:
		return false, schedulingFailure(it, s, ce)
	case plan.Remount:
		return false, w.files.mounts.slowRemount(it, s, b, ce)
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
