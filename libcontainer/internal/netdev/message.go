package netdev

import (
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// A message of netlink(7), all integers of the machine's order:
//
//	 0 length   u32  of everything
//	 4 type     u16
//	 6 flags    u16
//	 8 sequence u32
//	12 port     u32
//	16 family header: struct ifinfomsg (16 bytes) or struct ifaddrmsg (8)
//	   attributes: length u16, type u16, value, padded to 4
var ne = binary.NativeEndian

const (
	headerSize = unix.SizeofNlMsghdr
	linkSize   = unix.SizeofIfInfomsg
	addrSize   = unix.SizeofIfAddrmsg
	attrSize   = unix.SizeofRtAttr
)

// message is a message under construction.
type message []byte

func newMessage(typ, flags uint16, body []byte) message {
	m := make(message, headerSize, 128)
	ne.PutUint16(m[4:], typ)
	ne.PutUint16(m[6:], flags)
	return append(m, body...)
}

func (m message) attr(typ uint16, value []byte) message {
	m = ne.AppendUint16(m, uint16(attrSize+len(value)))
	m = ne.AppendUint16(m, typ)
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

func (m message) u32(typ uint16, v uint32) message { return m.attr(typ, ne.AppendUint32(nil, v)) }

func (m message) str(typ uint16, v string) message { return m.attr(typ, append([]byte(v), 0)) }

// bytes returns the finished message.
func (m message) bytes() []byte {
	ne.PutUint32(m, uint32(len(m)))
	return m
}

// linkBody is a struct ifinfomsg.
func linkBody(index int, flags, change uint32) []byte {
	b := make([]byte, linkSize)
	ne.PutUint32(b[4:], uint32(index))
	ne.PutUint32(b[8:], flags)
	ne.PutUint32(b[12:], change)
	return b
}

const (
	request = unix.NLM_F_REQUEST
	acked   = unix.NLM_F_REQUEST | unix.NLM_F_ACK
)

// Ask returns the message that asks for a device by its name.
func Ask(name string) []byte {
	return newMessage(unix.RTM_GETLINK, request, linkBody(0, 0, 0)).str(unix.IFLA_IFNAME, name).bytes()
}

func getAddrs() []byte {
	return newMessage(unix.RTM_GETADDR, request|unix.NLM_F_DUMP, make([]byte, addrSize)).bytes()
}

// moveLink moves a device to the network namespace of process pid, with a name
// and an index there.
func moveLink(index, pid int, name string, newIndex int) []byte {
	return newMessage(unix.RTM_NEWLINK, acked, linkBody(index, 0, 0)).
		u32(unix.IFLA_NET_NS_PID, uint32(pid)).str(unix.IFLA_IFNAME, name).u32(unix.IFLA_NEW_IFINDEX, uint32(newIndex)).bytes()
}

// Up returns the message that brings a device up.
func Up(index int) []byte {
	return newMessage(unix.RTM_NEWLINK, acked, linkBody(index, unix.IFF_UP, unix.IFF_UP)).bytes()
}

// Address is one address of a device, as the kernel has described it.
type Address struct {
	family, prefix byte
	flags          uint32
	local, address []byte // of a point-to-point device they differ
	broadcast      []byte
}

// AddTo returns the message that gives the address to a device.
func (a Address) AddTo(index int) []byte {
	body := make([]byte, addrSize)
	body[0], body[1], body[3] = a.family, a.prefix, unix.RT_SCOPE_UNIVERSE
	ne.PutUint32(body[4:], uint32(index))
	m := newMessage(unix.RTM_NEWADDR, acked|unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	for _, attr := range []struct {
		typ   uint16
		value []byte
	}{{unix.IFA_LOCAL, a.local}, {unix.IFA_ADDRESS, a.address}, {unix.IFA_BROADCAST, a.broadcast}} {
		if attr.value != nil {
			m = m.attr(attr.typ, attr.value)
		}
	}
	if keep := a.flags & unix.IFA_F_NOPREFIXROUTE; keep != 0 {
		m = m.u32(unix.IFA_FLAGS, keep)
	}
	return m.bytes()
}

var errMalformed = errors.New("malformed netlink message")

// received is one message of a datagram.
type received struct {
	typ, flags uint16
	body       []byte
}

// split separates the messages of a datagram.
func split(p []byte) ([]received, error) {
	var out []received
	for len(p) > 0 {
		if len(p) < headerSize {
			return nil, errMalformed
		}
		n := int(ne.Uint32(p))
		if n < headerSize || n > len(p) {
			return nil, errMalformed
		}
		out = append(out, received{ne.Uint16(p[4:]), ne.Uint16(p[6:]), p[headerSize:n]})
		p = p[min(align(n), len(p)):]
	}
	return out, nil
}

func align(n int) int { return (n + 3) &^ 3 }

// attributes calls f with each attribute.
func attributes(p []byte, f func(typ uint16, value []byte)) error {
	for len(p) > 0 {
		if len(p) < attrSize {
			return errMalformed
		}
		n := int(ne.Uint16(p))
		if n < attrSize || n > len(p) {
			return errMalformed
		}
		f(ne.Uint16(p[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), p[attrSize:n])
		p = p[min(align(n), len(p)):]
	}
	return nil
}

// Error is the kernel's refusal of a request.
type Error struct {
	Errno  unix.Errno
	Reason string // the kernel's text, "" if there is none
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return e.Errno.Error()
	}
	return e.Reason + ": " + e.Errno.Error()
}

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Errno }

// Answer reads the answer to one request: nil, or an *Error.
func Answer(datagram []byte) error {
	msgs, err := split(datagram)
	if err != nil {
		return err
	}
	if len(msgs) != 1 || msgs[0].typ != unix.NLMSG_ERROR || len(msgs[0].body) < 4+headerSize {
		return errMalformed
	}
	body := msgs[0].body
	errno := -int32(ne.Uint32(body))
	if errno == 0 {
		return nil
	}
	return &Error{Errno: unix.Errno(errno), Reason: reason(msgs[0])}
}

// reason finds NLMSGERR_ATTR_MSG behind the errno and the request. A capped
// answer has only the header of the request.
func reason(m received) string {
	at := 4 + headerSize
	if m.flags&unix.NLM_F_CAPPED == 0 {
		at = align(4 + int(ne.Uint32(m.body[4:])))
	}
	if at > len(m.body) {
		return ""
	}
	text := ""
	_ = attributes(m.body[at:], func(typ uint16, value []byte) {
		if typ == unix.NLMSGERR_ATTR_MSG {
			text = strings.TrimRight(string(value), "\x00")
		}
	})
	return text
}

// Index reads the answer to Ask. The error is an *Error with ENODEV if there is
// no such device.
func Index(datagram []byte) (int, error) {
	msgs, err := split(datagram)
	switch {
	case err != nil:
		return 0, err
	case len(msgs) == 1 && msgs[0].typ == unix.NLMSG_ERROR:
		return 0, Answer(datagram)
	case len(msgs) != 1:
		return 0, errMalformed
	}
	return linkIndex(msgs[0])
}

// linkIndex reads the index of the device of a message.
func linkIndex(m received) (int, error) {
	if m.typ != unix.RTM_NEWLINK || len(m.body) < linkSize {
		return 0, errMalformed
	}
	return int(int32(ne.Uint32(m.body[4:]))), nil
}

// address reads an address and the index of its device. ok means that the address
// moves along: it is permanent and of global scope.
func address(m received) (a Address, index int, ok bool, err error) {
	if m.typ != unix.RTM_NEWADDR || len(m.body) < addrSize {
		return a, 0, false, errMalformed
	}
	h := m.body
	a = Address{family: h[0], prefix: h[1], flags: uint32(h[2])}
	err = attributes(h[addrSize:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFA_LOCAL:
			a.local = value
		case unix.IFA_ADDRESS:
			a.address = value
		case unix.IFA_BROADCAST:
			a.broadcast = value
		case unix.IFA_FLAGS:
			if len(value) == 4 {
				a.flags = ne.Uint32(value)
			}
		}
	})
	return a, int(ne.Uint32(h[4:])), a.flags&unix.IFA_F_PERMANENT != 0 && h[3] == unix.RT_SCOPE_UNIVERSE, err
}
