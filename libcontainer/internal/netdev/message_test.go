package netdev

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// answer is an NLMSG_ERROR for a request.
func answer(errno unix.Errno, request []byte, capped bool, text string) []byte {
	body := ne.AppendUint32(nil, uint32(-int32(errno)))
	flags := uint16(0)
	if capped {
		request, flags = request[:headerSize], unix.NLM_F_CAPPED
	}
	m := newMessage(unix.NLMSG_ERROR, flags, append(body, request...))
	if text != "" {
		m = m.str(unix.NLMSGERR_ATTR_MSG, text)
	}
	return m.bytes()
}

func TestAnswer(t *testing.T) {
	up := Up(7)
	tests := []struct {
		name string
		p    []byte
		want string
	}{
		{"done", answer(0, up, true, ""), ""},
		{"refused", answer(unix.EPERM, up, true, ""), "operation not permitted"},
		{"with words", answer(unix.EEXIST, up, true, "Address already assigned"), "Address already assigned: file exists"},
		{"with the request", answer(unix.EBUSY, up, false, "no"), "no: device or resource busy"},
		{"short", answer(0, up, true, "")[:18], "malformed netlink message"},
		{"nothing", nil, "malformed netlink message"},
		{"another", Up(7), "malformed netlink message"},
	}
	for _, tt := range tests {
		err := Answer(tt.p)
		if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%s: Answer = %v; want %q", tt.name, err, tt.want)
		}
	}
	if err := Answer(answer(unix.EBUSY, up, true, "")); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Answer = %v; want EBUSY in it", err)
	}
}

func TestMoveLink(t *testing.T) {
	msgs, err := split(moveLink(7, 4711, "eth%d", 1007))
	if err != nil || len(msgs) != 1 {
		t.Fatalf("split = %v, %v", msgs, err)
	}
	if index, err := linkIndex(msgs[0]); err != nil || index != 7 {
		t.Errorf("index = %d, %v; want 7", index, err)
	}
	got := map[uint16]string{}
	if err := attributes(msgs[0].body[linkSize:], func(typ uint16, value []byte) { got[typ] = string(value) }); err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[uint16]string{
		unix.IFLA_NET_NS_PID: string(ne.AppendUint32(nil, 4711)), unix.IFLA_IFNAME: "eth%d\x00", unix.IFLA_NEW_IFINDEX: string(ne.AppendUint32(nil, 1007)),
	} {
		if got[typ] != want {
			t.Errorf("attribute %d = %q; want %q", typ, got[typ], want)
		}
	}
}

// addrMessage is the kernel's description of an address.
func addrMessage(prefix netip.Prefix, index int, scope byte, flags uint32) []byte {
	family := byte(unix.AF_INET6)
	if prefix.Addr().Is4() {
		family = unix.AF_INET
	}
	body := []byte{family, byte(prefix.Bits()), byte(flags), scope, 0, 0, 0, 0}
	ne.PutUint32(body[4:], uint32(index))
	m := newMessage(unix.RTM_NEWADDR, 0, body).attr(unix.IFA_ADDRESS, prefix.Addr().AsSlice())
	if family == unix.AF_INET {
		m = m.attr(unix.IFA_LOCAL, prefix.Addr().AsSlice())
	}
	return m.u32(unix.IFA_FLAGS, flags).bytes()
}

func TestAddress(t *testing.T) {
	tests := []struct {
		prefix string
		scope  byte
		flags  uint32
		moves  bool
	}{
		{"192.0.2.1/24", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_PERMANENT, true},
		{"2001:db8::1/64", unix.RT_SCOPE_UNIVERSE, unix.IFA_F_PERMANENT | unix.IFA_F_NOPREFIXROUTE, true},
		{"fe80::1/64", unix.RT_SCOPE_LINK, unix.IFA_F_PERMANENT, false},
		{"2001:db8::2/64", unix.RT_SCOPE_UNIVERSE, 0, false},
		{"127.0.0.1/8", unix.RT_SCOPE_HOST, unix.IFA_F_PERMANENT, false},
	}
	for _, tt := range tests {
		msgs, err := split(addrMessage(netip.MustParsePrefix(tt.prefix), 5, tt.scope, tt.flags))
		if err != nil {
			t.Fatal(err)
		}
		a, index, moves, err := address(msgs[0])
		if err != nil || index != 5 || moves != tt.moves {
			t.Errorf("address(%s) = device %d, moves %t, %v; want 5, %t", tt.prefix, index, moves, err, tt.moves)
		}
		again, err := split(a.AddTo(9))
		if err != nil {
			t.Fatal(err)
		}
		b, index, _, err := address(again[0])
		if err != nil || index != 9 || b.prefix != a.prefix || !slices.Equal(b.address, a.address) || !slices.Equal(b.local, a.local) {
			t.Errorf("AddTo(%s) = %+v of device %d, %v; want %+v of 9", tt.prefix, b, index, err, a)
		}
		if b.flags != tt.flags&unix.IFA_F_NOPREFIXROUTE {
			t.Errorf("AddTo(%s) has flags %#x", tt.prefix, b.flags)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(Up(7))
	f.Add(answer(unix.EPERM, Up(7), true, "no"))
	f.Add(addrMessage(netip.MustParsePrefix("192.0.2.1/24"), 5, 0, unix.IFA_F_PERMANENT))
	f.Fuzz(func(t *testing.T, p []byte) {
		_ = Answer(p)
		msgs, err := split(p)
		if err != nil {
			return
		}
		for _, m := range msgs {
			_, _ = linkIndex(m)
			if a, _, ok, err := address(m); err == nil && ok {
				if _, err := split(a.AddTo(1)); err != nil {
					t.Errorf("an address that was read cannot be written: %+v: %v", a, err)
				}
			}
		}
	})
}
