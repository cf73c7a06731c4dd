package libcontainer

import (
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAnonymous(t *testing.T) {
	for kind, want := range map[string]string{
		"[eventpoll]":        "",
		"inotify":            "",
		"[pidfd]":            "",
		"[io_uring]":         "io_uring cannot be dumped",
		"bpf-map":            "a BPF map cannot be dumped",
		"seccomp notify":     "a seccomp listener cannot be dumped",
		"[userfaultfd]":      "a userfaultfd cannot be dumped",
		"kvm-vcpu\x1b:0":     "an object of the kind kvm-vcpu?:0 cannot be dumped",
		"[landlock-ruleset]": "an object of the kind [landlock-ruleset] cannot be dumped",
	} {
		if got := anonymous(kind); got != want {
			t.Errorf("anonymous(%q) = %q; want %q", kind, got, want)
		}
	}
}

func TestParseTCP(t *testing.T) {
	l := &socketList{tcp: map[uint64]tcpSocket{}}
	l.parseTCP(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000
   3: broken
`)
	want := map[uint64]tcpSocket{4242: {tcpListen, 2}, 4243: {1, 0}}
	if !reflect.DeepEqual(l.tcp, want) {
		t.Errorf("parseTCP = %v; want %v", l.tcp, want)
	}
}

// The kernel's answer has the peers of a pair. A broken answer is no panic.
func TestUnixPeers(t *testing.T) {
	fds, inodes := socketPair(t)
	answer, err := unixSocketsHere()
	if err != nil {
		t.Skipf("no list of Unix sockets: %v", err)
	}
	l := &socketList{peers: map[uint64]uint64{}}
	l.parseUnix(answer)
	if got := l.peers[inodes[0]]; got != inodes[1] {
		t.Errorf("the peer of %d (descriptor %d) = %d; want %d", inodes[0], fds[0], got, inodes[1])
	}
	for n := range min(len(answer), 200) {
		l.parseUnix(answer[:n])
		l.parseUnix(answer[n:])
	}
}

func TestObstacleString(t *testing.T) {
	fd := 7
	o := Obstacle{Pid: 42, Command: "nginx", Descriptor: &fd, Path: "/tmp/x", Cause: "a file lock or lease", Flag: "--file-locks"}
	const want = "process 42 (nginx): descriptor 7: /tmp/x: a file lock or lease: --file-locks is needed"
	if got := o.String(); got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
}

func socketPair(t *testing.T) (fds [2]int, inodes [2]uint64) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, fd := range fds {
		t.Cleanup(func() { unix.Close(fd) })
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		inodes[i] = st.Ino
	}
	return fds, inodes
}
