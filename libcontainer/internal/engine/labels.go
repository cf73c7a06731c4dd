package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

func (cr *credentials) sessionKeyring(s plan.SessionKeyring) error {
	b := cr.building
	if s.Label != "" && (lsm.Host{}).SELinuxEnabled() {
		if err := cr.writeAttr(lsm.SELinuxKeyCreate, s.Label); err != nil {
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

// securityLabel writes the label that the next execve applies. The runtime side
// opens the file in its own procfs and hands over the descriptor. In the
// container's procfs, the label could be written to a file that only looks like
// the right one (CVE-2019-16884).
func (cr *credentials) securityLabel(s plan.SecurityLabel) error {
	if s.LSM == "selinux" {
		if err := (lsm.Host{}).CheckSELinux(s.Label); err != nil {
			return err
		}
		return cr.writeAttr(lsm.SELinuxExec, s.Label)
	}
	if err := (lsm.Host{}).CheckAppArmor(s.Label); err != nil {
		return err
	}
	return cr.writeAttr(lsm.AppArmorExec, s.Label)
}

func labelFailure(it plan.Item, s plan.SecurityLabel, ce *remote.CallError) error {
	if s.LSM == "apparmor" && ce.Nr == unix.SYS_WRITE && ce.Errno == unix.ENOENT {
		return hint(it, ce, "no profile of this name is loaded: see apparmor_parser(8)")
	}
	return nil
}

func (cr *credentials) writeAttr(kind lsm.Kind, label string) error {
	if err := cr.settle(); err != nil { // a fork must be finished: the child has a file of its own
		return err
	}
	procfs, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer procfs.Close()
	f, err := lsm.OpenExecAttr(procfs, cr.stub.Pid, kind)
	if err != nil {
		return err
	}
	defer f.Close()
	fds := cr.receive([]int{int(f.Fd())}, []string{f.Name()})
	cr.building.Write(fds[0], string(kind.Value(label)))
	cr.building.Close(fds[0])
	return cr.settle()
}
