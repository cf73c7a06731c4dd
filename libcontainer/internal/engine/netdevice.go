package engine

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/netdev"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// netDevice: the host sends the device, by the privilege over the namespace that
// it is in; the stub gives it back the addresses that the kernel takes away on
// the way, in the namespace that it has come to.
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

// mustBeFree looks before the leap: the kernel moves a device first and finds
// out then that its name is taken. The device would be lost with the container.
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

// deviceSize is room for all that the kernel says of one device.
const deviceSize = 16 << 10

// answerSize is room for an answer with some words of the kernel's.
const answerSize = 1 << 10

// tell has the stub send a request of rtnetlink, and looks at the answer later.
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
