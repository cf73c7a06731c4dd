package seccomp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// These tests load filters and make syscalls under them, each in a process of
// its own, because only the kernel can tell whether a filter works.

// A trial is the task of such a process.
type trial struct {
	Filter Filter
	Calls  []probe
}

type probe struct {
	Nr   uintptr
	Args [6]uintptr
}

// A verdict is the result of a trial: the result of loading the filter, and the
// errno of each call.
type verdict struct {
	Loaded    int
	LoadErrno unix.Errno
	Errnos    []unix.Errno
}

const trialVariable = "ONGGI_SECCOMP_TRIAL"

func TestMain(m *testing.M) {
	if encoded := os.Getenv(trialVariable); encoded != "" {
		if err := stand(encoded); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// stand runs a trial. It loads the filter into this thread only, or with TSYNC
// into all threads, and reports.
func stand(encoded string) error {
	var tr trial
	if err := json.Unmarshal([]byte(encoded), &tr); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{
		Len:    uint16(len(tr.Filter.Program) / unix.SizeofSockFilter),
		Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(tr.Filter.Program))),
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(tr.Filter.Flags), uintptr(unsafe.Pointer(&program)))
	v := verdict{Loaded: int(fd), LoadErrno: errno}
	for _, p := range tr.Calls {
		_, _, errno := unix.RawSyscall6(p.Nr, p.Args[0], p.Args[1], p.Args[2], p.Args[3], p.Args[4], p.Args[5])
		v.Errnos = append(v.Errnos, errno)
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// try starts a process that runs a trial of a filter.
func try(t *testing.T, f Filter, calls ...probe) verdict {
	t.Helper()
	encoded, err := json.Marshal(trial{f, calls})
	check(t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), trialVariable+"="+string(encoded))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("trial: %v: %s", err, complaint.String())
	}
	var v verdict
	check(t, json.Unmarshal(out, &v))
	if v.LoadErrno != 0 {
		t.Fatalf("seccomp(SECCOMP_SET_MODE_FILTER, %#x): %v", f.Flags, v.LoadErrno)
	}
	return v
}

// beyondAll is a syscall number that no kernel has.
const beyondAll = 4000

func TestLoadEnginesProfiles(t *testing.T) {
	needBuilder(t)
	for name, raw := range profiles(t) {
		t.Run(name, func(t *testing.T) {
			profile := decodeProfile(t, raw)
			denied := unix.EPERM
			if profile.DefaultErrnoRet != nil {
				denied = unix.Errno(*profile.DefaultErrnoRet)
			}
			const never = ^uintptr(0)
			v := try(t, compileOK(t, profile),
				probe{Nr: unix.SYS_GETPPID},
				probe{Nr: unix.SYS_PERSONALITY, Args: [6]uintptr{0xffffffff}},
				probe{Nr: unix.SYS_PERSONALITY, Args: [6]uintptr{0x12345}},
				probe{Nr: unix.SYS_CLOSE, Args: [6]uintptr{never}},
				probe{Nr: beyondAll},
			)
			want := []unix.Errno{0, 0, denied, unix.EBADF, unix.ENOSYS}
			if fmt.Sprint(v.Errnos) != fmt.Sprint(want) {
				t.Errorf("errnos = %v; want %v", v.Errnos, want)
			}
		})
	}
}

func TestLoadTail(t *testing.T) {
	needBuilder(t)
	// The allowed syscalls are those that the process on trial needs.
	f := compileOK(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: number(77), Syscalls: []specs.LinuxSyscall{
		rule(specs.ActAllow, "read", "write", "close", "mmap", "munmap", "madvise", "futex", "rt_sigaction", "rt_sigprocmask",
			"rt_sigreturn", "sigaltstack", "exit", "exit_group", "clone", "clone3", "gettid", "getpid", "tgkill", "nanosleep",
			"fcntl", "epoll_ctl", "epoll_create1", "epoll_pwait", "eventfd2", "fstat", "newfstatat", "openat", "sched_yield", "sched_getaffinity"),
		rule(specs.ActErrno, "pidfd_getfd"),
	}})
	v := try(t, f, probe{Nr: unix.SYS_GETPPID}, probe{Nr: unix.SYS_PIDFD_GETFD}, probe{Nr: unix.SYS_PIDFD_GETFD + 1}, probe{Nr: beyondAll})
	want := []unix.Errno{77, unix.EPERM, unix.ENOSYS, unix.ENOSYS}
	if fmt.Sprint(v.Errnos) != fmt.Sprint(want) {
		t.Errorf("errnos = %v; want %v", v.Errnos, want)
	}
}

func TestLoadFlags(t *testing.T) {
	needBuilder(t)
	for _, name := range SupportedFlags() {
		for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActNotify} {
			r := rule(action, "getppid")
			f := compileOK(t, &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, ListenerPath: "/listener",
				Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(name)}, Syscalls: []specs.LinuxSyscall{r},
			})
			v := try(t, f)
			if got := v.Loaded > 2; got != f.Listener {
				t.Errorf("%s with %s: seccomp() = %d; want a descriptor: %v", name, action, v.Loaded, f.Listener)
			}
		}
	}
	if got := strings.Join(SupportedFlags(), " "); !strings.Contains(got, "SPEC_ALLOW") {
		t.Errorf("SupportedFlags() = %s; want SPEC_ALLOW at least", got)
	}
}

func TestKernelHas(t *testing.T) {
	const futureFlag, futureAction = 1 << 20, 0x12340000
	if kernelHasFlag(futureFlag) {
		t.Errorf("kernelHasFlag(%#x) = true", futureFlag)
	}
	if kernelHasAction(futureAction) {
		t.Errorf("kernelHasAction(%#x) = true", futureAction)
	}
	for _, a := range actions {
		if !kernelHasAction(a.ret | 5) {
			t.Errorf("kernelHasAction(%s) = false", a.name)
		}
	}
}
