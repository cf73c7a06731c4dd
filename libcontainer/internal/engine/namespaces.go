package engine

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// namespaces owns the namespaces that the stub joins and creates.
type namespaces struct {
	*batches
	joined  map[int]*remote.FD // namespaces to join, by item
	refused []int              // joins to repeat as root of the user namespace
}

// join enters a namespace. The stub opens the paths of all joins before it
// enters the first: a joined mount namespace would hide the other paths.
//
// If a user namespace is joined, too, the stub may lack the privilege for the
// other namespaces until it is root there. So join tolerates EPERM, and
// becomeRoot repeats the refused joins.
func (ns *namespaces) join(s plan.Join) error {
	if ns.joined == nil {
		ns.openJoined()
	}
	fd := ns.joined[ns.at]
	r := ns.building.Setns(fd, s.Flag)
	if s.Flag != unix.CLONE_NEWUSER && ns.joins(unix.CLONE_NEWUSER) {
		at := ns.at
		r.Tolerate(unix.EPERM)
		ns.later(func() error {
			if r.Errno() == unix.EPERM {
				ns.refused = append(ns.refused, at)
			}
			return nil
		})
	}
	return nil
}

func (ns *namespaces) openJoined() {
	ns.joined = map[int]*remote.FD{}
	for i, it := range ns.items {
		if j, ok := it.Step.(plan.Join); ok {
			ns.joined[i] = ns.building.Open(j.Path, unix.O_RDONLY)
		}
	}
}

// becomeRoot takes the ids of root in the user namespace. Then it repeats the
// joins that only this root may do.
func (ns *namespaces) becomeRoot(s plan.BecomeRoot) error {
	b := ns.building
	b.Setresgid(s.GID)
	b.Setresuid(s.UID)
	b.SetDumpable(false) // setresuid has reset the flag (prctl(2))
	if ns.joined == nil {
		return nil
	}
	if err := ns.settle(); err != nil {
		return err
	}
	for _, i := range ns.refused {
		ns.building.Setns(ns.joined[i], ns.items[i].Step.(plan.Join).Flag)
	}
	ns.refused = nil
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

// loopbackUp brings lo up. A new network namespace has it, but down.
func (ns *namespaces) loopbackUp() error {
	b := ns.building
	sock := b.Socket("socket", unix.AF_INET, unix.SOCK_DGRAM, 0)
	var ifreq [40]byte // struct ifreq: name, flags
	copy(ifreq[:], "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_RUNNING
	b.IoctlMem(sock, "SIOCSIFFLAGS", unix.SIOCSIFFLAGS, ifreq[:])
	b.Close(sock)
	return nil
}

func (ns *namespaces) hostname(s plan.Hostname) error {
	if s.Name != "" {
		ns.building.Sethostname(s.Name)
	}
	if s.Domain != "" {
		ns.building.Setdomainname(s.Domain)
	}
	return nil
}
