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
func (w *walk) netDevice(s plan.NetDevice) error {
	d, err := netdev.Find(s.Host)
	if err != nil {
		return err
	}
	if err := w.mustBeFree(s.Name); err != nil {
		return err
	}
	index, err := d.Move(w.stub.Pid, s.Name)
	if err != nil {
		return hint(w.items[w.at], err, netDeviceHint(err))
	}
	sock := w.rtnetlink()
	for _, a := range d.Addresses {
		w.tell(sock, a.AddTo(index))
	}
	w.tell(sock, netdev.Up(index))
	w.building.Close(sock)
	return nil
}

func (w *walk) rtnetlink() *remote.FD {
	return w.building.Socket("rtnetlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
}

// mustBeFree checks that the name is free before the move. The kernel moves a
// device first and looks at the name afterwards. After a conflict the device
// would disappear with the container.
func (w *walk) mustBeFree(name string) error {
	if strings.HasSuffix(name, "%d") {
		return nil
	}
	sock := w.rtnetlink()
	w.building.Write(sock, string(netdev.Ask(name)))
	n, buf := w.building.Read(sock, deviceSize)
	w.building.Close(sock)
	if err := w.settle(); err != nil {
		return err
	}
	_, err := netdev.Index(buf.Bytes()[:n.Value()])
	if err == nil {
		return hint(w.items[w.at], unix.EEXIST, netDeviceHint(unix.EEXIST))
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
func (w *walk) tell(sock *remote.FD, request []byte) {
	w.building.Write(sock, string(request))
	n, buf := w.building.Read(sock, answerSize)
	w.later(func() error { return netdev.Answer(buf.Bytes()[:n.Value()]) })
}

func netDeviceHint(err error) string {
	switch {
	case isErrno(err, unix.EEXIST):
		return "the container's network namespace has a device of that name"
	case isErrno(err, unix.EPERM):
		return "it takes CAP_NET_ADMIN in the network namespace of the device"
	}
	return ""
}
