package tests

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// seccomp returns a profile that allows all calls except those of the rules.
func seccomp(rules ...specs.LinuxSyscall) edit {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: rules}
	}
}

func TestSeccomp(t *testing.T) {
	mkdir := []string{"mkdir", "mkdirat"}
	tests := []struct {
		name string
		edit edit
		line string
		want string // standard output and error together
		code int
	}{
		{"errno", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV))}), "mkdir /tmp/x", "Invalid cross-device link", 1},
		{"errno by default is EPERM", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno}), "mkdir /tmp/x", "Operation not permitted", 1},
		{"kill the process", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActKillProcess}), "mkdir /tmp/x; echo $?", "159", 0},
		{"kill the thread", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActKill}), "mkdir /tmp/x; echo $?", "159", 0},
		{"trap", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActTrap}), "mkdir /tmp/x; echo $?", "159", 0},
		{"log is allowed", seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActLog}), "mkdir /tmp/x && echo made", "made", 0},
		{"unknown names are passed over", seccomp(specs.LinuxSyscall{Names: []string{"no_such_syscall", "mkdir", "mkdirat"}, Action: specs.ActErrno}), "mkdir /tmp/x", "Operation not permitted", 1},
		{"argument matches", seccomp(specs.LinuxSyscall{
			Names: []string{"kill"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV)),
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(unix.SIGWINCH), Op: specs.OpEqualTo}},
		}), "kill -WINCH 1", "Invalid cross-device link", 1},
		{"argument does not match", seccomp(specs.LinuxSyscall{
			Names: []string{"kill"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(unix.SIGWINCH), Op: specs.OpEqualTo}},
		}), "kill -CONT 1 && echo sent", "sent", 0},
		{"masked argument", seccomp(specs.LinuxSyscall{
			Names: []string{"fchmodat", "chmod"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0o4000, ValueTwo: 0o4000, Op: specs.OpMaskedEqual}},
		}), "chmod 755 /tmp/f && chmod 4755 /tmp/f", "Operation not permitted", 1},
		{"two architectures", func(s *specs.Spec) {
			seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno})(s)
			s.Linux.Seccomp.Architectures = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
		}, "mkdir /tmp/x", "Operation not permitted", 1},
		{"flags", func(s *specs.Spec) {
			seccomp(specs.LinuxSyscall{Names: mkdir, Action: specs.ActErrno})(s)
			s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog}
		}, "mkdir /tmp/x", "Operation not permitted", 1},
	}
	for _, test := range tests {
		for _, nnp := range []bool{true, false} {
			t.Run(test.name+map[bool]string{true: "", false: ", without no_new_privs"}[nnp], func(t *testing.T) {
				if test.name == "flags" {
					peerFails(t, "runc", "has no flags before 1.2")
				}
				c := newContainer(t, test.edit, sh("touch /tmp/f; "+test.line), func(s *specs.Spec) { s.Process.NoNewPrivileges = nnp })
				r := c.run()
				if r.code != test.code || !strings.Contains(r.out+r.err, test.want) {
					t.Errorf("want exit status %d and %q\n%v", test.code, test.want, r)
				}
				c.edit(sh("grep Seccomp: /proc/self/status | cut -f2"))
				want(t, "mode", c.output(), "2")
			})
		}
	}
}

func TestSeccompAppliesToExec(t *testing.T) {
	c := newContainer(t, seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(unix.EXDEV))}))
	c.up()
	if r := c.exec(nil, "mkdir", "/tmp/x"); r.code != 1 || !strings.Contains(r.err, "cross-device") {
		t.Error(r)
	}
}

// TestSeccompNeedsFewSyscallsOfItsOwn starts a container with an allow-list that has only the calls of a static program and
// those that execute it.
func TestSeccompNeedsFewSyscallsOfItsOwn(t *testing.T) {
	peerFails(t, "runc", "needs more than twenty for itself")
	c := newContainer(t, args("/bin/true"), func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno,
			Syscalls: []specs.LinuxSyscall{{Action: specs.ActAllow, Names: []string{
				"read", "execve", "write", "exit_group",
				// busybox, static
				"brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlinkat", "readlink",
				"getrandom", "mprotect", "mmap", "munmap", "uname", "getuid", "getpid", "prctl", "exit",
			}}},
		}
	})
	c.output()
}

func TestSeccompThatCannotBe(t *testing.T) {
	tests := []struct {
		name string
		edit edit
	}{
		{"action", seccomp(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: "SCMP_ACT_NONSENSE"})},
		{"operator", seccomp(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_NONSENSE"}}})},
		{"architecture", func(s *specs.Spec) {
			seccomp()(s)
			s.Linux.Seccomp.Architectures = []specs.Arch{"SCMP_ARCH_NONSENSE"}
		}},
		{"flag", func(s *specs.Spec) {
			seccomp()(s)
			s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NONSENSE"}
		}},
		{"notify without a listener", seccomp(specs.LinuxSyscall{Names: []string{"mkdir"}, Action: specs.ActNotify})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { refused(t, newContainer(t, test.edit).run(), 1, "") })
	}
}

// The structures of seccomp_unotify(2).
type (
	seccompData struct {
		nr   int32
		arch uint32
		ip   uint64
		args [6]uint64
	}
	seccompNotif struct {
		id    uint64
		pid   uint32
		flags uint32
		data  seccompData
	}
	seccompResponse struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}
)

const (
	seccompRecv = 0xc0502100
	seccompSend = 0xc0182101
)

func TestSeccompNotify(t *testing.T) {
	for _, nnp := range []bool{true, false} {
		t.Run(map[bool]string{true: "no_new_privs", false: "without no_new_privs"}[nnp], func(t *testing.T) {
			path := filepath.Join(env.dir, "seccomp.sock")
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			c := newContainer(t, seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}),
				sh("mkdir /tmp/x"), func(s *specs.Spec) {
					s.Process.NoNewPrivileges = nnp
					s.Linux.Seccomp.ListenerPath = path
					s.Linux.Seccomp.ListenerMetadata = "some data"
				})
			i := c.begin(c.withFlags("run")...)
			defer i.Process.Kill()
			listener.SetDeadline(time.Now().Add(patience))
			conn, err := listener.AcceptUnix()
			if err != nil {
				t.Fatalf("no connection: %v\n%s", err, contents(i.err))
			}
			defer conn.Close()
			text, fds := receive(t, conn)
			if len(fds) != 1 {
				t.Fatalf("%d descriptors with %s", len(fds), text)
			}
			defer fds[0].Close()
			var got specs.ContainerProcessState
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Fds) != 1 || got.Fds[0] != "seccompFd" || got.Metadata != "some data" || got.State.ID != c.id ||
				got.Pid <= 1 || got.State.Bundle != c.bundle {
				t.Errorf("state = %+v", got)
			}
			answer(t, fds[0], unix.ECHRNG)
			if r := i.end(); !strings.Contains(r.err, "Channel number out of range") {
				t.Error(r)
			}
		})
	}
}

// answer lets the first intercepted system call fail.
func answer(t testing.TB, f *os.File, errno unix.Errno) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10000); n != 1 {
		t.Fatalf("no system call arrives: %v", err)
	}
	var request seccompNotif
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), seccompRecv, uintptr(unsafe.Pointer(&request))); e != 0 {
		t.Fatalf("receiving: %v", e)
	}
	response := seccompResponse{id: request.id, error: -int32(errno)}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), seccompSend, uintptr(unsafe.Pointer(&response))); e != 0 {
		t.Fatalf("answering: %v", e)
	}
}

// receive reads one message with the descriptors that came with it.
func receive(t testing.TB, conn *net.UnixConn) (string, []*os.File) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	data, oob := make([]byte, 64<<10), make([]byte, 1024)
	n, oobn, _, _, err := conn.ReadMsgUnix(data, oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return string(data[:n]), files
}
