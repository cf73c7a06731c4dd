package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The ioctls, the flag and the two structures of seccomp_unotify(2).
const (
	notifRecv     = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend     = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	notifContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	notificationAnswer struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

// continuing starts an agent that lets every notified call continue. After the last process with a filter has ended, calls
// returns the number of notifications of a system call.
func continuing(t *testing.T, path string) (calls func(nr int32) int) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	all := make(chan map[int32]int, 1)
	go func() {
		heard := map[int32]int{}
		defer func() { all <- heard }()
		conn, err := listener.AcceptUnix()
		if err != nil {
			return
		}
		_, files := receive(t, conn)
		conn.Close()
		for _, f := range files {
			answerAll(f, heard)
			f.Close()
		}
	}()
	return func(nr int32) int {
		listener.Close()
		heard := <-all
		all <- heard
		return heard[nr]
	}
}

// answerAll answers until no process has the filter.
func answerAll(f *os.File, heard map[int32]int) {
	fd := int(f.Fd())
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, int(patience.Milliseconds())); err == unix.EINTR {
			continue
		} else if err != nil || p[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifRecv, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // the caller was killed meanwhile
		}
		heard[n.nr]++
		a := notificationAnswer{id: n.id, flags: notifContinue}
		unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifSend, uintptr(unsafe.Pointer(&a)))
	}
}

// The stub itself reads and executes under the filter, so the agent gets its calls too.
func TestSeccompNotifyOfReadAndExecve(t *testing.T) {
	for name, nr := range map[string]int32{"read": unix.SYS_READ, "execve": unix.SYS_EXECVE, "close": unix.SYS_CLOSE} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, seccomp(specs.LinuxSyscall{Names: []string{name}, Action: specs.ActNotify}), sh("cat /file"))
			c.write("rootfs/file", "content\n")
			path := filepath.Join(env.dir, c.id+".sock")
			c.edit(func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = path })
			calls := continuing(t, path)
			want(t, "output", c.output(), "content")
			if n := calls(nr); n == 0 {
				t.Errorf("the agent was not asked about %s", name)
			}
		})
	}
}

// An ordinary user's container can have an agent and a startContainer hook. The hook's process has the profile. The first
// process is not dumpable while the agent takes its listener.
func TestRootlessNotifyWithAStartContainerHook(t *testing.T) {
	u := makeUser(t)
	for _, nnp := range []bool{true, false} {
		t.Run(fmt.Sprintf("no_new_privs %t", nnp), func(t *testing.T) {
			c := newRootless(t, u, u.many, seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}),
				sh("mkdir /tmp/made; cat /tmp/hook; test -d /tmp/made && echo made"), hooks("startContainer", hook("echo hooked >/tmp/hook")))
			path := filepath.Join(env.dir, c.id+".sock")
			c.edit(func(s *specs.Spec) {
				s.Process.NoNewPrivileges = nnp
				s.Linux.Seccomp.ListenerPath = path
			})
			calls := continuing(t, path)
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			want(t, "output", c.output(), "hooked\nmade")
			if n := calls(sysMkdir) + calls(unix.SYS_MKDIRAT); n == 0 {
				t.Error("the agent was not asked about mkdir")
			}
		})
	}
}
