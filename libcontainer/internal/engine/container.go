package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

func (w *walk) harden(s plan.Harden) error {
	b := w.building
	// The kernel raises mm->user_ns to the user namespace in which the stub
	// was executed, the runtime's. So the container's root cannot inspect an
	// undumpable stub (CVE-2016-9962).
	if !s.MapsFirst {
		b.SetDumpable(false)
	}
	w.makeRoom()
	b.CloseRange(w.layout.control, unix.CLOSE_RANGE_CLOEXEC)
	b.CloseRange(w.layout.end, 0) // descriptors that the caller forgot to mark close-on-exec
	b.Umask(0)
	b.UnblockSignals()
	for _, sig := range w.ignored {
		b.DefaultSignal(sig)
	}
	return nil
}

// closeFiles closes all descriptors of the set-up: none of the host's remains in
// the stub (CVE-2024-21626). Descriptors from First on are close-on-exec.
//
// From here on a runtime without privilege needs access to the stub again, for
// exec and hooks. Then the stub becomes dumpable; it holds nothing of value now.
func (w *walk) closeFiles(s plan.CloseFiles) {
	w.building.CloseRange(w.layout.keep+1, 0)
	w.building.CloseRange(s.First, unix.CLOSE_RANGE_CLOEXEC)
	if w.unprivileged() || s.LetIn {
		w.building.SetDumpable(true)
	}
}

// joinCgroups moves the stub into its v1 cgroups: it writes "0" to their tasks
// files. A thread that moves itself takes no lock on all forks of the host and
// waits for no RCU grace period (cgroup_procs_write_start).
func (w *walk) joinCgroups(s plan.JoinCgroups) error {
	for _, f := range s.Files {
		fd := w.building.Open(f, unix.O_WRONLY)
		w.building.Write(fd, "0")
		w.building.Close(fd)
	}
	return nil
}

// join enters a namespace. The stub opens the paths of all joins before it
// enters the first: a joined mount namespace would hide the other paths.
//
// If a user namespace is joined, too, the stub may lack the privilege for the
// other namespaces until it is root there. So join tolerates EPERM, and
// becomeRoot repeats the refused joins.
func (w *walk) join(s plan.Join) error {
	if w.joined == nil {
		w.openJoined()
	}
	fd := w.joined[w.at]
	r := w.building.Setns(fd, s.Flag)
	if s.Flag != unix.CLONE_NEWUSER && w.joins(unix.CLONE_NEWUSER) {
		at := w.at
		r.Tolerate(unix.EPERM)
		w.later(func() error {
			if r.Errno() == unix.EPERM {
				w.refused = append(w.refused, at)
			}
			return nil
		})
	}
	return nil
}

func (w *walk) openJoined() {
	w.joined = map[int]*remote.FD{}
	for i, it := range w.items {
		if j, ok := it.Step.(plan.Join); ok {
			w.joined[i] = w.building.Open(j.Path, unix.O_RDONLY)
		}
	}
}

// joins reports whether the plan joins a namespace of the type by path.
func (w *walk) joins(flag uint64) bool {
	for _, it := range w.items {
		if j, ok := it.Step.(plan.Join); ok && j.Flag == flag {
			return true
		}
	}
	return false
}

// becomeRoot takes the ids of root in the user namespace. Then it repeats the
// joins that only this root may do.
func (w *walk) becomeRoot(s plan.BecomeRoot) error {
	b := w.building
	b.Setresgid(s.GID)
	b.Setresuid(s.UID)
	b.SetDumpable(false) // setresuid has reset the flag (prctl(2))
	if w.joined == nil {
		return nil
	}
	if err := w.settle(); err != nil {
		return err
	}
	for _, i := range w.refused {
		w.building.Setns(w.joined[i], w.items[i].Step.(plan.Join).Flag)
	}
	w.refused = nil
	return nil
}

// unshare ends a batch. The creation of namespaces is the slow part of a start,
// so the runtime side works in the meantime, in this order: the caller's work
// (others), many bind sources in groups (handOver), the remaining sources
// (meanwhile). Then the trees go to the stub with the next batch.
func (w *walk) unshare(s plan.Unshare) error {
	w.building.Unshare(s.Flags)
	if err := w.cut(); err != nil {
		return err
	}
	if err := w.others(); err != nil {
		return err
	}
	if err := w.handOver(); err != nil {
		return err
	}
	if err := w.meanwhile(); err != nil {
		return err
	}
	w.expect()
	w.receiveTrees()
	return nil
}

func unshareFailure(it plan.Item, s plan.Unshare, ce *remote.CallError) error {
	switch {
	case ce.Errno == unix.ENOSPC:
		return hint(it, ce, "the host's limit is reached: see /proc/sys/user/max_*_namespaces")
	case s.Flags&unix.CLONE_NEWUSER != 0 && ce.Errno == unix.EPERM:
		return hint(it, ce, "user namespaces may be restricted here: see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns")
	}
	return failed(it, ce)
}

func (w *walk) sessionKeyring(s plan.SessionKeyring) error {
	b := w.building
	if s.Label != "" && (lsm.Host{}).SELinuxEnabled() {
		if err := w.writeAttr(lsm.SELinuxKeyCreate, s.Label); err != nil {
			return err
		}
	}
	r := b.JoinSessionKeyring(s.Name).Tolerate(unix.ENOSYS, unix.EPERM) // kernels without keyrings, and seccomp profiles of an outer container
	// The kernel's default, and search for the owner: a process that has changed
	// its ids needs it. The possessor has all permissions (0x3f), the owner view,
	// read, search and link (0x1b).
	b.SessionKeyringPerm(0x3f1b0000).TolerateAll()
	r.OnFailSkip()
	return nil
}

// loopbackUp brings lo up. A new network namespace has it, but down.
func (w *walk) loopbackUp() error {
	b := w.building
	sock := b.Socket("socket", unix.AF_INET, unix.SOCK_DGRAM, 0)
	var ifreq [40]byte // struct ifreq: name, flags
	copy(ifreq[:], "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_RUNNING
	b.IoctlMem(sock, "SIOCSIFFLAGS", unix.SIOCSIFFLAGS, ifreq[:])
	b.Close(sock)
	return nil
}

func (w *walk) hostname(s plan.Hostname) error {
	if s.Name != "" {
		w.building.Sethostname(s.Name)
	}
	if s.Domain != "" {
		w.building.Setdomainname(s.Domain)
	}
	return nil
}

func (w *walk) pivot(s plan.Pivot) error {
	b := w.building
	b.Fchdir(w.root)
	if s.Move {
		return w.moveRoot()
	}
	// The kernel stacks the old root on the new one, at the same ".", where
	// umount2 finds and detaches it (pivot_root(2), "pivot_root(".", ".")").
	b.PivotRoot(".", ".")
	b.Umount2(".", unix.MNT_DETACH)
	b.Chdir("/")
	return nil
}

func (w *walk) changeRoot() error {
	b := w.building
	b.Chroot(".")
	b.Chdir("/")
	w.root = b.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	w.root.SetName("rootfs")
	return nil
}

// securityLabel writes the label that the next execve applies. The runtime side
// opens the file in its own procfs and hands over the descriptor. In the
// container's procfs, the label could be written to a file that only looks like
// the right one (CVE-2019-16884).
func (w *walk) securityLabel(s plan.SecurityLabel) error {
	if s.LSM == "selinux" {
		if err := (lsm.Host{}).CheckSELinux(s.Label); err != nil {
			return err
		}
		return w.writeAttr(lsm.SELinuxExec, s.Label)
	}
	if err := (lsm.Host{}).CheckAppArmor(s.Label); err != nil {
		return err
	}
	return w.writeAttr(lsm.AppArmorExec, s.Label)
}

func labelFailure(it plan.Item, s plan.SecurityLabel, ce *remote.CallError) error {
	if s.LSM == "apparmor" && isCall(ce, "write") && ce.Errno == unix.ENOENT {
		return hint(it, ce, "no profile of this name is loaded: see apparmor_parser(8)")
	}
	return nil
}

func (w *walk) writeAttr(kind lsm.Kind, label string) error {
	if err := w.settle(); err != nil { // a fork must be finished: the child has a file of its own
		return err
	}
	procfs, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer procfs.Close()
	f, err := lsm.OpenExecAttr(procfs, w.stub.Pid, kind)
	if err != nil {
		return err
	}
	defer f.Close()
	fds := w.receive([]int{int(f.Fd())}, []string{f.Name()})
	w.building.Write(fds[0], string(kind.Value(label)))
	w.building.Close(fds[0])
	return w.settle()
}
