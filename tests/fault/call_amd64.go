package fault

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported reports whether calls can be changed on this machine.
const Supported = true

type registers syscall.PtraceRegs

func readCall(tid int) (*registers, error) {
	var r syscall.PtraceRegs
	err := syscall.PtraceGetRegs(tid, &r)
	return (*registers)(&r), err
}

func (r *registers) number() int { return int(int64(r.Orig_rax)) }

// skip changes the number of a call that begins to one that no call has. So the kernel executes nothing.
func (r *registers) skip(tid int) error {
	r.Orig_rax = ^uint64(0)
	return syscall.PtraceSetRegs(tid, (*syscall.PtraceRegs)(r))
}

// fail sets the result of a call that ends to an errno.
func (r *registers) fail(tid int, errno syscall.Errno) error {
	r.Rax = uint64(-int64(errno))
	return syscall.PtraceSetRegs(tid, (*syscall.PtraceRegs)(r))
}

// goCalls are made by the Go runtime for its threads, its memory, its clock and
// its poller. onggi makes a few of them too. Those count as calls of the Go runtime.
var goCalls = []int{
	unix.SYS_FUTEX, unix.SYS_MADVISE, unix.SYS_SCHED_YIELD, unix.SYS_NANOSLEEP, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK,
	unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
	unix.SYS_ARCH_PRCTL, unix.SYS_SCHED_GETAFFINITY, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_CLOCK_GETTIME, unix.SYS_GETPID, unix.SYS_RESTART_SYSCALL, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_RSEQ, unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_BRK,
}

// ofGo reports whether the call is one that the Go runtime makes for itself.
func (r *registers) ofGo() bool {
	if r.number() == unix.SYS_CLONE {
		return r.Rdi&unix.CLONE_THREAD != 0
	}
	return slices.Contains(goCalls, r.number())
}

// Name returns the name of a system call. Without the headers of the C library it returns the number.
func Name(nr int) string {
	if name, ok := names()[nr]; ok {
		return name
	}
	return strconv.Itoa(nr)
}

var names = sync.OnceValue(func() map[int]string {
	m := map[int]string{}
	f, err := os.Open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) == 3 && strings.HasPrefix(words[1], "__NR_") {
			if nr, err := strconv.Atoi(words[2]); err == nil {
				m[nr] = strings.TrimPrefix(words[1], "__NR_")
			}
		}
	}
	return m
})
