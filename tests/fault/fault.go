package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Side is the process whose calls are counted.
type Side int

const (
	Runtime Side = iota // the command's own process, without the calls of the side Go
	Go                  // threads, memory and the poller of the Go runtime
	Stub                // the first process of a container or of an exec, until it executes a program
)

func (s Side) String() string { return [...]string{"runtime", "go", "stub"}[s] }

// Point is one call. The zero Point means no call.
type Point struct {
	Side Side
	Nr   int
	Turn int // 1 is the side's first call with this number
}

func (p Point) String() string { return fmt.Sprintf("%s:%s#%d", p.Side, Name(p.Nr), p.Turn) }

// Action is the fault at a point.
type Action struct {
	Errno syscall.Errno // the call returns it; 0: a kill, or nothing
	Kill  Victim
	After bool // the kill follows the call
}

// Victim is the process that gets SIGKILL.
type Victim int

const (
	Nobody     Victim = iota
	TheCommand        // the command's own process
	TheCaller         // the process that makes the call
)

func (a Action) String() string {
	when := "before"
	if a.After {
		when = "after"
	}
	switch a.Kill {
	case TheCommand:
		return "kill the runtime " + when
	case TheCaller:
		return "kill the stub " + when
	}
	return unix.ErrnoName(a.Errno)
}

// Command is the command to run. Files become its descriptors 0, 1, 2, ….
type Command struct {
	Path  string
	Args  []string
	Dir   string
	Env   []string
	Files []uintptr
	Limit time.Duration // the command gets SIGKILL when no tracee has stopped for so long, for instance after the action
}

// Outcome is the result of a command.
type Outcome struct {
	Status syscall.WaitStatus
	Took   time.Duration
	Hit    bool    // the point was reached
	Late   bool    // the limit was reached
	Where  string  // the threads of the command and their calls when the limit was reached
	Points []Point // all calls that were seen
	Peak   int     // largest resident memory of the command in KiB; 0 if it was not traced to its end
}

// Nowhere is a point that is never reached. The calls of the runtime then run without a stop.
var Nowhere = Point{Side: Stub, Nr: -1, Turn: 1}

// Run runs a command with the action at the point. Without a point it records all
// calls. Processes that the command leaves behind run on.
func Run(c Command, at Point, do Action) (*Outcome, error) {
	t := &tracer{command: c, at: at, do: do, tasks: map[int]*task{}, turns: map[Point]int{}, over: make(chan struct{})}
	began := time.Now()
	done := make(chan error)
	go onOwnThread(func() { done <- t.run() })
	err := <-done
	if err != nil {
		return nil, err
	}
	if !t.ended {
		for {
			// The tracer's thread has ended, and so has the tracing.
			if _, err = syscall.Wait4(t.pid, &t.outcome.Status, 0, nil); err != syscall.EINTR {
				break
			}
		}
	}
	close(t.over)
	t.outcome.Took = time.Since(began)
	t.outcome.Where, t.outcome.Late = t.where.Load().(string)
	return &t.outcome, err
}

// onOwnThread calls f on a thread of its own, which has no children yet. The end of the thread detaches all
// its tracees. The first thread of a program never ends. The children of another thread are of earlier commands of
// the test, and the tracer must not reap them.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() && childless() {
		f()
		return
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		onOwnThread(f)
	}()
	<-over
	runtime.UnlockOSThread()
}

// childless tells whether this thread has started no process that still exists.
func childless() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WNOTHREAD|unix.WALL, nil)
	return err == unix.ECHILD
}

type tracer struct {
	command Command
	at      Point
	do      Action
	pid     int           // the command's
	over    chan struct{} // closed at the command's end
	stops   atomic.Int64
	tasks   map[int]*task
	turns   map[Point]int // by side and number
	outcome Outcome
	begun   bool // the shell has executed the command
	ended   bool
	where   atomic.Value // of where
}

// task is a traced thread or process.
type task struct {
	side   Side // Runtime or Stub
	inside bool // between the begin and the end of a call
	hit    bool // the present call is the point
	orphan bool // it has stopped before the event of its parent, whose side it has
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEEXIT

// run returns after the end of the command or after the action.
func (t *tracer) run() error {
	if err := t.start(); err != nil {
		return err
	}
	for {
		tid, status, err := t.wait(-1, 0)
		if err != nil {
			return err
		}
		if done := t.event(tid, status); done {
			return nil
		}
	}
}

// start starts the command and seizes it. Without PTRACE_SEIZE, each new thread
// would begin with a SIGSTOP. A pending SIGSTOP stops the whole process when the
// tracer detaches. The command starts as a shell that stops itself: it is seized
// before it executes the command.
func (t *tracer) start() error {
	c := t.command
	args := append([]string{"sh", "-c", `kill -STOP $$; exec "$@"`, "sh", c.Path}, c.Args...)
	pid, err := syscall.ForkExec("/bin/sh", args, &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: c.Files})
	if err != nil {
		return err
	}
	t.pid = pid
	go t.limit()
	if _, _, err := t.wait(pid, syscall.WUNTRACED); err != nil {
		return err
	}
	t.tasks[pid] = &task{}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, options, 0, 0); errno != 0 {
		return errno
	}
	return syscall.Kill(pid, syscall.SIGCONT)
}

// maxLimits bounds the whole tracing, as a multiple of Command.Limit.
const maxLimits = 10

// limit kills the command when no tracee has stopped for Command.Limit. It does not count from the start: each stop of
// a tracee wakes the tracer, and on a busy machine the thousands of stops may take longer.
func (t *tracer) limit() {
	began := time.Now()
	last, seen := began, int64(0)
	for time.Since(last) < t.command.Limit && time.Since(began) < maxLimits*t.command.Limit {
		select {
		case <-t.over:
			return
		case <-time.After(min(t.command.Limit, time.Second)):
		}
		if now := t.stops.Load(); now != seen {
			last, seen = time.Now(), now
		}
	}
	t.where.Store(where(t.pid))
	_ = syscall.Kill(t.pid, syscall.SIGKILL)
}

// wait waits for the tracees of this thread, and for no other children.
func (t *tracer) wait(pid, flags int) (int, syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		tid, err := syscall.Wait4(pid, &status, unix.WALL|unix.WNOTHREAD|flags, nil)
		if err != syscall.EINTR {
			return tid, status, err
		}
	}
}

// event handles one stop or end, and reports whether it was the last one of
// interest. An error of ptrace means that the task has ended; wait reports that.
func (t *tracer) event(tid int, status syscall.WaitStatus) (done bool) {
	t.stops.Add(1)
	if !status.Stopped() {
		delete(t.tasks, tid)
		if tid == t.pid {
			t.outcome.Status, t.ended = status, true
		}
		return tid == t.pid
	}
	k := t.tasks[tid]
	if k == nil { // it stays stopped until the event of its parent
		t.tasks[tid] = &task{orphan: true}
		return false
	}
	signal := 0
	switch stop := status.StopSignal(); {
	case int(status)>>16 == unix.PTRACE_EVENT_STOP: // a new task, or all are to stop
	case stop == syscall.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC && !t.begun:
		t.begun, k.inside = true, true
	case stop == syscall.SIGTRAP|0x80:
		if t.call(tid, k) {
			return true
		}
	case stop == syscall.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXEC:
		k.inside = true // the stop at the end of execve follows
		side, ours := executed(tid)
		if tid == t.pid { // a wrapper has executed its program
			side, ours = Runtime, true
		}
		if !ours || tid != t.pid && !t.concerns(side) {
			delete(t.tasks, tid)
			_ = syscall.PtraceDetach(tid)
			return false
		}
		k.side = side
	case stop == syscall.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_EXIT:
		if tid == t.pid {
			t.outcome.Peak = peak(tid)
		}
	case stop == syscall.SIGTRAP && status.TrapCause() > 0:
		if child, err := syscall.PtraceGetEventMsg(tid); err == nil {
			born := t.tasks[int(child)]
			t.tasks[int(child)] = &task{side: k.side}
			if born != nil && born.orphan {
				t.resume(int(child), k.side, 0)
			}
		}
	default:
		signal = int(stop)
	}
	t.resume(tid, k.side, signal)
	return false
}

func (t *tracer) resume(tid int, side Side, signal int) {
	if t.begun && t.concerns(side) {
		_ = syscall.PtraceSyscall(tid, signal)
	} else {
		_ = syscall.PtraceCont(tid, signal) // up to its next fork
	}
}

// concerns reports whether the calls of a side are counted.
func (t *tracer) concerns(side Side) bool {
	return t.at == Point{} || (t.at.Side == Stub) == (side == Stub)
}

// peak returns VmHWM, which execve resets. ru_maxrss also counts the memory of the
// parent before execve.
func peak(pid int) (kib int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	_, _ = fmt.Sscan(rest, &kib)
	return kib
}

// where returns the state of each thread and the call that it is in.
func where(pid int) string {
	var text []string
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		stat, _ := os.ReadFile(task + "/stat")
		_, state, _ := strings.Cut(string(stat), ") ")
		call, _ := os.ReadFile(task + "/syscall")
		wchan, _ := os.ReadFile(task + "/wchan")
		nr, args, _ := strings.Cut(strings.TrimSpace(string(call)), " ")
		if n, err := strconv.Atoi(nr); err == nil {
			nr = Name(n)
		}
		text = append(text, fmt.Sprintf("%s %.1s %s(%s) in %s", filepath.Base(task), state, nr, args, wchan))
	}
	return strings.Join(text, "; ")
}

// executed returns the side of a process by its executable. Hooks, helpers and
// programs of containers are not traced.
func executed(tid int) (Side, bool) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", tid))
	if err != nil {
		return 0, false
	}
	name := strings.TrimSuffix(exe, " (deleted)")
	return Stub, name == "/memfd:onggi" || name == "/onggi"
}

// call is a stop at the begin or the end of a system call.
func (t *tracer) call(tid int, k *task) (done bool) {
	if k.inside {
		k.inside = false
		return k.hit && t.finish(tid)
	}
	k.inside = true
	r, err := readCall(tid)
	if err != nil {
		return false
	}
	side := k.side
	if side == Runtime && r.ofGo() {
		side = Go
	}
	kind := Point{Side: side, Nr: r.number()}
	t.turns[kind]++
	p := kind
	p.Turn = t.turns[kind]
	if t.at == (Point{}) {
		t.outcome.Points = append(t.outcome.Points, p)
	}
	if p != t.at {
		return false
	}
	t.outcome.Hit, k.hit = true, true
	switch {
	case t.do.Errno != 0 && p.Nr != unix.SYS_CLOSE: // which closes even if it fails (close(2))
		_ = r.skip(tid)
	case t.do.Errno != 0:
	case !t.do.After:
		t.kill(tid)
		return true
	}
	return false
}

// finish handles the end of the call at the point.
func (t *tracer) finish(tid int) bool {
	if t.do.Errno == 0 {
		t.kill(tid)
		return true
	}
	if r, err := readCall(tid); err == nil {
		_ = r.fail(tid, t.do.Errno)
	}
	return true
}

func (t *tracer) kill(tid int) {
	pid := t.pid
	if t.do.Kill == TheCaller {
		pid = tid // the stub has one thread
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
