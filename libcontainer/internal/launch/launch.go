package launch

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/slack"
)

// Program contains the parameters of a launch.
type Program struct {
	Image  int    // descriptor of the executable (execveat(2), AT_EMPTY_PATH)
	Argv0  string // its only argument
	Files  []int  // descriptors of this process that become 0, 1, 2, … in the child; negative: closed
	Flags  uint64 // CLONE_NEW…
	Cgroup int    // directory of the cgroup2 cgroup to be born in (CLONE_INTO_CGROUP); negative: this process's
	Wait   bool   // wait for the execve (CLONE_VFORK): the OOM killer spares such a child
}

// Process is a child that executes the program now or will do so soon.
type Process struct {
	Pid   int
	Pidfd int // owned by the caller; close-on-exec

	memory []byte // nil once the child no longer needs it
	area   *area
	calls  []call
}

// call is a system call: its number and up to six arguments.
type call [7]uint64

// area is the start of the memory for the child, shared with this process. The child's
// calls follow, in order, and then the data that they point to.
type area struct {
	slack   call   // gives this thread the slack that the child inherits
	clone   call   // creates the child
	blocked uint64 // signal mask during the clone: all signals
	mask    uint64 // this thread's signal mask before
	errno   int64  // result of the child's failed call (a negative errno); 0: none failed
	failed  int64  // index of the failed call
	pidfd   int32
	_       int32
	args    cloneArgs
	argv    [2]uint64
	envp    [1]uint64
}

// cloneArgs is struct clone_args (clone(2)).
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
}

const (
	cloneIntoCgroup = 0x200000000 // CLONE_INTO_CGROUP, Linux 5.7
	sizeofCall      = unsafe.Sizeof(call{})

	// For the assembly.
	sysRtSigprocmask = unix.SYS_RT_SIGPROCMASK
	sysExitGroup     = unix.SYS_EXIT_GROUP
	sigSetmask       = unix.SIG_SETMASK
	maxErrno         = 4095
	exitStatus       = 127 // like a shell that cannot execute a command
)

// oldClone returns a clone(2) call. The order of its first two arguments differs between
// machines, and that of its last two, which are 0 like the stack.
func oldClone(flags, pidfd uint64) call {
	c := call{unix.SYS_CLONE, 0, 0, pidfd, 0, 0}
	c[1+cloneFlags] = flags
	return c
}

// Start creates the process. It does not report errors in the child: then the program
// does not answer, and Failure returns the reason.
func Start(p Program) (*Process, error) {
	l := newList(p)
	process, err := l.allocate(p.Argv0)
	if err != nil {
		return nil, err
	}
	a := process.area
	flags := p.Flags | unix.CLONE_VM | unix.CLONE_PIDFD
	if p.Wait {
		flags |= unix.CLONE_VFORK
	}
	a.args = cloneArgs{flags: flags, pidfd: address(&a.pidfd), exitSignal: uint64(unix.SIGCHLD)}
	if p.Cgroup >= 0 {
		a.args.flags |= cloneIntoCgroup
		a.args.cgroup = uint64(p.Cgroup)
	}
	a.clone = call{unix.SYS_CLONE3, address(&a.args), uint64(unsafe.Sizeof(a.args))}
	a.slack = call{unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, slack.OfCaller()}
	pid := process.clone()
	if pid == -int64(unix.ENOSYS) && p.Cgroup < 0 { // seccomp profiles of some engines hide clone3, because a filter cannot read its arguments
		a.clone = oldClone(flags|uint64(unix.SIGCHLD), address(&a.pidfd))
		pid = process.clone()
	}
	if pid < 0 {
		process.Release()
		return nil, os.NewSyscallError(cloneText(p), unix.Errno(-pid))
	}
	process.Pid, process.Pidfd = int(pid), int(a.pidfd)
	return process, nil
}

// clone creates the child under ForkLock: no other thread then is between opening a
// descriptor and marking it close-on-exec.
func (p *Process) clone() int64 {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	return clone(p.area)
}

// Failure returns the reason why the child, which has ended, did not execute the
// program. It returns nil if it did or was killed, and for a nil Process.
func (p *Process) Failure() error {
	if p == nil || p.memory == nil || p.area.errno == 0 {
		return nil
	}
	text := "a system call"
	if i := int(p.area.failed); i < len(p.calls) {
		text = p.calls[i].text()
	}
	return os.NewSyscallError(text, unix.Errno(-p.area.errno))
}

// Release unmaps the memory. The caller calls it once the program has shown that it runs,
// or after the child's end. A second call and a call on nil do nothing.
func (p *Process) Release() {
	if p == nil || p.memory == nil {
		return
	}
	_ = unix.Munmap(p.memory)
	p.memory, p.area = nil, nil
}

// list is the list of the child's calls under construction.
type list struct{ calls []call }

func (l *list) add(nr uintptr, args ...uint64) {
	c := call{uint64(nr)}
	copy(c[1:], args)
	l.calls = append(l.calls, c)
}

// newList returns the calls that arrange the descriptors from 0 on and execute the
// program. A descriptor whose number is needed for another one is first moved above all
// numbers in use. allocate fills in the addresses.
func newList(p Program) *list {
	l := &list{calls: make([]call, 0, len(p.Files)+8)}
	n := len(p.Files)
	free := max(n, p.Image+1)
	for _, fd := range p.Files {
		free = max(free, fd+1)
	}
	moved := make([]int, n)
	for i, fd := range p.Files {
		moved[i] = fd
		if fd >= 0 && fd < n && fd != i {
			moved[i] = l.moveUp(fd, &free)
		}
	}
	image := p.Image
	if image < n {
		image = l.moveUp(image, &free)
	}
	for i, fd := range moved {
		switch {
		case fd < 0:
			l.add(unix.SYS_CLOSE_RANGE, uint64(i), uint64(i), 0) // succeeds even if it is not open
		case fd == i:
			l.add(unix.SYS_FCNTL, uint64(i), unix.F_SETFD, 0)
		default:
			l.add(unix.SYS_DUP3, uint64(fd), uint64(i), 0)
		}
	}
	l.add(unix.SYS_EXECVEAT, uint64(image), 0, 0, 0, unix.AT_EMPTY_PATH)
	return l
}

func (l *list) moveUp(fd int, free *int) int {
	to := *free
	*free++
	l.add(unix.SYS_DUP3, uint64(fd), uint64(to), unix.O_CLOEXEC)
	return to
}

// allocate copies everything that the child needs to memory of its own.
func (l *list) allocate(argv0 string) (*Process, error) {
	callsAt := unsafe.Sizeof(area{})
	stringAt := callsAt + uintptr(len(l.calls))*sizeofCall
	size := int(stringAt) + len(argv0) + 1
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError(fmt.Sprintf("mmap(%d bytes)", size), err)
	}
	copy(memory[stringAt:], argv0)
	a := (*area)(unsafe.Pointer(&memory[0]))
	a.blocked, a.argv[0] = ^uint64(0), address(&memory[stringAt])
	execveat := &l.calls[len(l.calls)-1]
	execveat[2], execveat[3], execveat[4] = address(&memory[size-1]), address(&a.argv), address(&a.envp)
	copy(unsafe.Slice((*call)(unsafe.Pointer(&memory[callsAt])), len(l.calls)), l.calls)
	return &Process{memory: memory, area: a, calls: l.calls}, nil
}

func address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func cloneText(p Program) string {
	if p.Cgroup >= 0 {
		return fmt.Sprintf("clone3({CLONE_VM|CLONE_PIDFD|CLONE_INTO_CGROUP|%#x})", p.Flags)
	}
	return fmt.Sprintf("clone3({CLONE_VM|CLONE_PIDFD|%#x})", p.Flags)
}

// text prints the call like strace(1).
func (c call) text() string {
	switch c[0] {
	case unix.SYS_DUP3:
		return fmt.Sprintf("dup3(%d, %d)", c[1], c[2])
	case unix.SYS_FCNTL:
		return fmt.Sprintf("fcntl(%d, F_SETFD, 0)", c[1])
	case unix.SYS_CLOSE_RANGE:
		return fmt.Sprintf("close_range(%d, %d)", c[1], c[2])
	}
	return fmt.Sprintf("execveat(%d, AT_EMPTY_PATH)", c[1])
}
