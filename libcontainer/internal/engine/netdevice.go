package engine

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/netdev"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// netDevice moves a device of the host into the container. The runtime side moves
// it: that requires privilege over the device's present namespace. On the way
// the kernel removes the device's addresses; the stub restores them, in the
// container's network namespace.
func (ns *namespaces) netDevice(s plan.NetDevice) error {
	d, err := netdev.Find(s.Host)
	if err != nil {
		return err
	}
	if err := ns.mustBeFree(s.Name); err != nil {
		return err
	}
	index, err := d.Move(ns.stub.Pid, s.Name)
	if err != nil {
		return hint(ns.items[ns.at], err, netDeviceHint(err))
	}
	sock := ns.rtnetlink()
	for _, a := range d.Addresses {
		ns.tell(sock, a.AddTo(index))
	}
	ns.tell(sock, netdev.Up(index))
	ns.building.Close(sock)
	return nil
}

func (ns *namespaces) rtnetlink() *remote.FD {
	return ns.building.Socket("rtnetlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
}

// mustBeFree checks that the name is free before the move. The kernel moves a
// device first and looks at the name afterwards. After a conflict the device
// would disappear with the container.
func (ns *namespaces) mustBeFree(name string) error {
	if strings.HasSuffix(name, "%d") {
		return nil
	}
	sock := ns.rtnetlink()
	ns.building.Write(sock, string(netdev.Ask(name)))
	n, buf := ns.building.Read(sock, deviceSize)
	ns.building.Close(sock)
	if err := ns.settle(); err != nil {
		return err
	}
	_, err := netdev.Index(buf.Bytes()[:n.Value()])
	if err == nil {
		return hint(ns.items[ns.at], unix.EEXIST, netDeviceHint(unix.EEXIST))
	}
	if isErrno(err, unix.ENODEV) {
		return nil
	}
	return err
}

// deviceSize is the buffer size for the kernel's description of one device.
const deviceSize = 16 << 10

// answerSize is the buffer size for an answer with a message of the kernel.
const answerSize = 1 << 10

// tell has the stub send an rtnetlink request, and checks the answer later.
func (ns *namespaces) tell(sock *remote.FD, request []byte) {
	ns.building.Write(sock, string(request))
	n, buf := ns.building.Read(sock, answerSize)
	ns.later(func() error { return netdev.Answer(buf.Bytes()[:n.Value()]) })
}

func netDeviceHint(err error) string {
	switch {
	case isErrno(err, unix.EEXIST):
		return "the container's network namespace has a device of that name"
	case isErrno(err, unix.EPERM):
		return "it requires CAP_NET_ADMIN in the network namespace of the device"
	}
	return ""
}
