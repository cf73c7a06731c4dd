package netdev

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Device is a network device of the runtime's network namespace.
type Device struct {
	Name      string
	Index     int
	Addresses []Address // that move along
}

// Find looks a device up by its name.
func Find(name string) (*Device, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	defer s.close()
	d := &Device{Name: name}
	if d.Index, err = s.index(name); err != nil {
		return nil, fmt.Errorf("link not found for interface %s: %w", name, err)
	}
	if d.Addresses, err = s.addresses(d.Index); err != nil {
		return nil, fmt.Errorf("read its addresses: %w", err)
	}
	return d, nil
}

// indexTries bounds the tries for a free index in the other namespace. If the
// device's own index is taken there, the indexes in use are low and few, because
// the namespace is young.
const indexTries = 16

// Move moves the device to the network namespace of a process and returns its
// index there. A name that ends in "%d" is a template, which the kernel fills in.
func (d *Device) Move(pid int, name string) (index int, err error) {
	s, err := open()
	if err != nil {
		return 0, err
	}
	defer s.close()
	for n := range indexTries {
		index = d.Index + n*1000 // chosen here, so that no lookup is needed there
		err = s.ask(moveLink(d.Index, pid, name, index))
		if !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return index, err
}

// socket is a connection to the kernel's rtnetlink.
type socket int

// answerTime bounds the wait for the kernel's answer, which is available when the
// request returns.
const answerTime = 10 * time.Second

func open() (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, os.NewSyscallError("socket(AF_NETLINK, NETLINK_ROUTE)", err)
	}
	// The kernel's own reason for a refusal. Older kernels send none.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	tv := unix.NsecToTimeval(answerTime.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt(SO_RCVTIMEO)", err)
	}
	return socket(fd), nil
}

func (s socket) close() { unix.Close(int(s)) }

func (s socket) send(msg []byte) error {
	return os.NewSyscallError("sendto(AF_NETLINK)", unix.Sendto(int(s), msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// receive returns one datagram of the kernel and drops those of other senders.
func (s socket) receive() ([]byte, error) {
	buf := make([]byte, 64<<10) // more than the kernel puts into one of a dump
	for {
		n, from, err := unix.Recvfrom(int(s), buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom(AF_NETLINK)", err)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); ok && kernel.Pid == 0 {
			return buf[:n], nil
		}
	}
}

// ask sends a request and waits for its acknowledgement.
func (s socket) ask(msg []byte) error {
	if err := s.send(msg); err != nil {
		return err
	}
	p, err := s.receive()
	if err != nil {
		return err
	}
	return Answer(p)
}

func (s socket) index(name string) (int, error) {
	if err := s.send(Ask(name)); err != nil {
		return 0, err
	}
	p, err := s.receive()
	if err != nil {
		return 0, err
	}
	return Index(p)
}

// addresses reads all addresses of the host, because there is no filter, and
// keeps those of the device.
func (s socket) addresses(index int) ([]Address, error) {
	if err := s.send(getAddrs()); err != nil {
		return nil, err
	}
	var out []Address
	for {
		p, err := s.receive()
		if err != nil {
			return nil, err
		}
		msgs, err := split(p)
		if err != nil {
			return nil, err
		}
		for _, m := range msgs {
			switch m.typ {
			case unix.NLMSG_DONE:
				return out, nil
			case unix.NLMSG_ERROR:
				return nil, Answer(p)
			}
			a, of, ok, err := address(m)
			if err != nil {
				return nil, err
			}
			if ok && of == index {
				out = append(out, a)
			}
		}
	}
}
