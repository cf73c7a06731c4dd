// Command pace runs a runtime and slows one of its two sides down: the threads of the runtime, or the processes that
// become those of the container. Their system calls then come in each order that is possible on a busy host:
//
//	pace [-side runtime|stub|both] [-pause 2ms] [-share 1] [-seed 1] COMMAND…
//
// It traces the processes (ptrace(2)). Before each system call of the chosen side, or before the given share of them, it
// waits for the pause. The seed selects the calls. pace detaches from a process of the container's side at its second
// execve, because it is the program from then on. The exit status is the command's.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	p := pacer{tasks: map[int]*task{}}
	flag.StringVar(&p.side, "side", "both", "the side to slow down: runtime, stub or both")
	flag.DurationVar(&p.pause, "pause", 2*time.Millisecond, "the time to hold a call")
	flag.Float64Var(&p.share, "share", 1, "the share of calls to hold")
	seed := flag.Uint64("seed", 1, "the choice of calls")
	flag.Parse()
	p.random = rand.New(rand.NewPCG(*seed, 0))
	runtime.LockOSThread() // the tracer is a thread
	status, err := p.run(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "pace:", err)
		status = 99
	}
	os.Exit(status)
}

type pacer struct {
	side   string
	pause  time.Duration
	share  float64
	random *rand.Rand
	first  int // the runtime's process
	tasks  map[int]*task
	due    []release
}

// task is a traced thread.
type task struct {
	stub   bool // of the container's side
	execs  int
	met    bool // has stopped once
	inCall bool // between the entry of a system call and its exit
}

// release is a thread that is held.
type release struct {
	tid int
	at  time.Time
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

func (p *pacer) run(args []string) (int, error) {
	path := args[0]
	process, err := os.StartProcess(path, args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &unix.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		return 0, err
	}
	p.first = process.Pid
	p.tasks[p.first] = &task{met: true}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(p.first, &ws, 0, nil); err != nil {
		return 0, err
	}
	if err := unix.PtraceSetOptions(p.first, options); err != nil {
		return 0, fmt.Errorf("PTRACE_SETOPTIONS: %w", err)
	}
	p.goOn(p.first, 0)
	for {
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOHANG|unix.WNOTHREAD, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait4: %w", err)
		case tid == 0:
			p.releaseDue()
			time.Sleep(100 * time.Microsecond)
		case tid == p.first && ws.Exited():
			return ws.ExitStatus(), nil
		case tid == p.first && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case ws.Stopped():
			p.stopped(tid, ws)
		default:
			delete(p.tasks, tid)
		}
	}
}

func (p *pacer) releaseDue() {
	now := time.Now()
	kept := p.due[:0]
	for _, r := range p.due {
		if now.Before(r.at) {
			kept = append(kept, r)
			continue
		}
		p.goOn(r.tid, 0)
	}
	p.due = kept
}

func (p *pacer) stopped(tid int, ws unix.WaitStatus) {
	t := p.tasks[tid]
	if t == nil {
		t = &task{stub: !p.ofRuntime(tid)}
		p.tasks[tid] = t
	}
	if !t.met { // the SIGSTOP with which it begins to be traced
		t.met = true
		p.goOn(tid, 0)
		return
	}
	switch sig := ws.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		if t.inCall = !t.inCall; t.inCall && p.holds(tid, t) {
			p.due = append(p.due, release{tid, time.Now().Add(p.pause)})
			return
		}
		p.goOn(tid, 0)
	case sig == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
		if t.execs++; t.stub && t.execs == 2 {
			delete(p.tasks, tid)
			_ = unix.PtraceDetach(tid)
			return
		}
		p.goOn(tid, 0)
	case sig == unix.SIGTRAP && ws.TrapCause() > 0:
		if t.stub {
			p.inherit(tid, t)
		}
		p.goOn(tid, 0)
	default:
		p.goOn(tid, sig)
	}
}

// inherit counts a child of a stub as one: its own first execve is the program's.
func (p *pacer) inherit(tid int, t *task) {
	child, err := unix.PtraceGetEventMsg(tid)
	if err != nil {
		return
	}
	if p.tasks[int(child)] == nil {
		p.tasks[int(child)] = &task{stub: true, execs: t.execs}
		return
	}
	p.tasks[int(child)].execs = t.execs
}

func (p *pacer) ofRuntime(tid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", p.first, tid))
	return err == nil
}

// goOn lets a thread run up to its next call, and one of the side that is not slowed down up to its next event.
func (p *pacer) goOn(tid int, sig unix.Signal) {
	t := p.tasks[tid]
	if t != nil && p.slow(t) {
		_ = unix.PtraceSyscall(tid, int(sig))
		return
	}
	_ = unix.PtraceCont(tid, int(sig))
}

func (p *pacer) slow(t *task) bool {
	switch p.side {
	case "runtime":
		return !t.stub
	case "stub":
		return t.stub
	}
	return true
}

// holds tells whether the call that the thread is about to make is held. Those with which Go's threads look after
// themselves are not.
func (p *pacer) holds(tid int, t *task) bool {
	var info struct {
		op   uint8
		_    [3]uint8
		arch uint32
		_    [2]uint64
		nr   uint64
		_    [8]uint64
	}
	const getSyscallInfo = 0x420e
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || !t.stub && housekeeping[info.nr] {
		return false
	}
	return p.share >= 1 || p.random.Float64() < p.share
}

var housekeeping = map[uint64]bool{
	unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_EPOLL_PWAIT: true, unix.SYS_EPOLL_CTL: true, unix.SYS_SCHED_YIELD: true,
	unix.SYS_MADVISE: true, unix.SYS_MMAP: true, unix.SYS_MUNMAP: true, unix.SYS_MPROTECT: true, unix.SYS_RT_SIGACTION: true, unix.SYS_RT_SIGPROCMASK: true,
	unix.SYS_RT_SIGRETURN: true, unix.SYS_SIGALTSTACK: true, unix.SYS_GETTID: true, unix.SYS_TGKILL: true, unix.SYS_GETPID: true,
	unix.SYS_READ: true, unix.SYS_CLOSE: true, unix.SYS_PRCTL: true,
}
