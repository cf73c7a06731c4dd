package libcontainer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// socketList has the sockets of the container's network namespaces, by inode.
type socketList struct {
	held  map[uint64]bool // a process of the container has it open
	tcp   map[uint64]tcpSocket
	peers map[uint64]uint64 // of Unix sockets
	host  bool              // the container is in the runtime's network namespace
}

type tcpSocket struct {
	state   int // linux/net/tcp_states.h
	backlog uint64
}

// Some states of TCP: linux/net/tcp_states.h.
const (
	tcpClose  = 7
	tcpListen = 10
)

// listSockets reads the sockets of all network namespaces of the processes. It leaves
// out sockets that it cannot read: CRIU finds out about these during the dump.
func listSockets(pids []int, first int) *socketList {
	l := &socketList{held: map[uint64]bool{}, tcp: map[uint64]tcpSocket{}, peers: map[uint64]uint64{}}
	own, _ := os.Readlink("/proc/self/ns/net")
	seen := map[string]bool{}
	for _, pid := range pids {
		l.hold(pid)
		ns, err := os.Readlink(procPath(pid, "ns/net"))
		if err != nil {
			continue
		}
		if pid == first {
			l.host = ns == own
		}
		if !seen[ns] {
			seen[ns] = true
			l.read(pid)
		}
	}
	return l
}

func (l *socketList) hold(pid int) {
	names, _ := readDir(procPath(pid, "fd"))
	for _, name := range names {
		if link, err := os.Readlink(procPath(pid, "fd/"+name)); err == nil {
			if ino, ok := socketInode(link); ok {
				l.held[ino] = true
			}
		}
	}
}

func socketInode(link string) (uint64, bool) {
	v, ok := strings.CutPrefix(link, "socket:[")
	ino, err := strconv.ParseUint(strings.TrimSuffix(v, "]"), 10, 64)
	return ino, ok && err == nil
}

func (l *socketList) read(pid int) {
	for _, file := range []string{"net/tcp", "net/tcp6"} {
		if text, err := os.ReadFile(procPath(pid, file)); err == nil {
			l.parseTCP(string(text))
		}
	}
	if answer, err := unixSockets(pid); err == nil {
		l.parseUnix(answer)
	}
}

// parseTCP parses /proc/net/tcp: proc_pid_net(5).
func (l *socketList) parseTCP(text string) {
	const state, queues, inode = 3, 4, 9
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) <= inode {
			continue
		}
		ino, err := strconv.ParseUint(f[inode], 10, 64)
		st, err1 := strconv.ParseUint(f[state], 16, 8)
		_, received, _ := strings.Cut(f[queues], ":")
		backlog, err2 := strconv.ParseUint(received, 16, 32)
		if errors.Join(err, err1, err2) == nil && ino != 0 {
			l.tcp[ino] = tcpSocket{int(st), backlog}
		}
	}
}

// unixSockets asks the network namespace of a process for its Unix sockets and their
// peers: sock_diag(7). A thread enters the namespace and ends there.
func unixSockets(pid int) ([]byte, error) {
	ns, err := os.Open(procPath(pid, "ns/net"))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	type result struct {
		answer []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // Go ends a locked thread with its goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, fmt.Errorf("setns: %w", err)}
			return
		}
		answer, err := unixSocketsHere()
		done <- result{answer, err}
	}()
	r := <-done
	return r.answer, r.err
}

// Lengths and numbers of linux/unix_diag.h and linux/sock_diag.h.
const (
	sockDiagByFamily = 20
	udiagShowPeer    = 4
	unixDiagPeer     = 2
	unixDiagRequest  = 24
	unixDiagMessage  = 16
)

func unixSocketsHere() ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	e := binary.NativeEndian
	req := e.AppendUint32(nil, unix.SizeofNlMsghdr+unixDiagRequest)
	req = e.AppendUint16(req, sockDiagByFamily)
	req = e.AppendUint16(req, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req = append(req, make([]byte, 8)...) // sequence, port
	req = append(req, unix.AF_UNIX, 0, 0, 0)
	req = e.AppendUint32(req, ^uint32(0)) // all states
	req = e.AppendUint32(req, 0)          // all inodes
	req = e.AppendUint32(req, udiagShowPeer)
	req = append(req, make([]byte, 8)...) // cookie
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < unix.SizeofNlMsghdr {
			return nil, err
		}
		switch e.Uint16(buf[4:]) {
		case unix.NLMSG_DONE:
			return all, nil
		case unix.NLMSG_ERROR:
			return nil, unix.EOPNOTSUPP
		}
		all = append(all, buf[:n]...)
	}
}

// parseUnix reads the messages of unixSockets.
func (l *socketList) parseUnix(answer []byte) {
	e := binary.NativeEndian
	for len(answer) >= unix.SizeofNlMsghdr {
		size := int(e.Uint32(answer))
		if size < unix.SizeofNlMsghdr || size > len(answer) {
			return
		}
		if e.Uint16(answer[4:]) == sockDiagByFamily && size >= unix.SizeofNlMsghdr+unixDiagMessage {
			msg := answer[unix.SizeofNlMsghdr:size]
			if peer, ok := attribute(msg[unixDiagMessage:], unixDiagPeer); ok {
				l.peers[uint64(e.Uint32(msg[4:]))] = uint64(peer)
			}
		}
		answer = answer[min(len(answer), (size+3)&^3):]
	}
}

// attribute finds an attribute of 32 bits.
func attribute(attrs []byte, kind uint16) (uint32, bool) {
	e := binary.NativeEndian
	for len(attrs) >= unix.SizeofNlAttr {
		size := int(e.Uint16(attrs))
		if size < unix.SizeofNlAttr || size > len(attrs) {
			break
		}
		if e.Uint16(attrs[2:]) == kind && size >= unix.SizeofNlAttr+4 {
			return e.Uint32(attrs[unix.SizeofNlAttr:]), true
		}
		attrs = attrs[min(len(attrs), (size+3)&^3):]
	}
	return 0, false
}

// protocols are the kernel's names of the protocols that CRIU dumps.
var protocols = []string{"TCP", "TCPv6", "UDP", "UDPv6", "UDP-Lite", "UDPLITEv6", "RAW", "RAWv6", "UNIX", "UNIX-STREAM", "NETLINK", "PACKET"}

// socket reports a socket that CRIU cannot dump.
func (s *survey) socket(d descriptor) {
	name := make([]byte, 64)
	n, err := unix.Getxattr(d.path(), "system.sockprotoname", name)
	if err == nil {
		switch protocol := strings.TrimRight(string(name[:n]), "\x00"); {
		case strings.HasPrefix(protocol, "MPTCP"):
			s.add(d.obstacle("an MPTCP socket cannot be dumped (Go programs: GODEBUG=multipathtcp=0)", ""), false)
			return
		case !slices.Contains(protocols, protocol):
			s.add(d.obstacle("a socket of the protocol "+printableName(protocol)+" cannot be dumped", ""), false)
			return
		}
	}
	ino, _ := socketInode(d.link)
	s.tcp(d, ino)
	if peer := s.sockets.peers[ino]; peer != 0 && !s.sockets.held[peer] {
		o := d.obstacle("a Unix socket whose other end is outside of the container", "")
		if s.sockets.host {
			o.Flag = "--ext-unix-sk"
		}
		s.add(o, s.sockets.host && s.o.ExtUnixSockets)
	}
}

func (s *survey) tcp(d descriptor, ino uint64) {
	t, ok := s.sockets.tcp[ino]
	switch {
	case !ok || t.state == tcpClose:
	case t.state == tcpListen:
		if t.backlog > 0 {
			s.add(d.obstacle("a TCP connection that is not accepted yet", "--tcp-skip-in-flight"), s.o.TCPSkipInFlight)
		}
	default:
		s.add(d.obstacle("an established TCP connection", "--tcp-established"), s.o.TCPEstablished)
	}
}
