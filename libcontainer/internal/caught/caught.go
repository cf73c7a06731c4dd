package caught

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// process is the one thing of its kind that a process has: the handler's pipe.
// The handler reads writeEnd and runtimeHandler, and nothing else of ours.
//
// The pipe is made once and stays. Nobody can tell when the last handler is
// done with it, and a number that is free again may be somebody else's file.
var process struct {
	mu   sync.Mutex
	made bool
	ends [2]int // to read from, and to write to
	pipe *Pipe  // who has it now
}

// Pipe has the signals that were caught, in the order in which they came.
type Pipe struct {
	read, write int
	before      []saved
}

// saved is an action to restore.
type saved struct {
	sig    unix.Signal
	action action
}

// signals is how many there are (_NSIG).
const signals = 64

// Open gives the pipe to one at a time, empty.
func Open() (*Pipe, error) {
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.pipe != nil {
		return nil, unix.EBUSY
	}
	if !process.made {
		if err := makePipe(); err != nil {
			return nil, err
		}
	}
	p := &Pipe{read: process.ends[0], write: process.ends[1], before: make([]saved, 0, signals)}
	process.pipe = p
	return p, nil
}

func makePipe() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	// The handler must not wait for us to read: what is too much is lost, as
	// it is for the kernel, which keeps one of each kind.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return os.NewSyscallError("fcntl(F_SETFL, O_NONBLOCK)", err)
	}
	process.ends, process.made = fds, true
	writeEnd = uint64(fds[1])
	return nil
}

// Catch has the signals written to the pipe from now on. Those that are ignored
// stay so, as they were when this process was started (nohup).
func (p *Pipe) Catch(list ...unix.Signal) error {
	for _, sig := range list {
		if err := p.catch(sig); err != nil {
			return err
		}
	}
	return nil
}

// catch looks before it sets: a signal that is ignored must be so at every
// moment, for [Ignored] may be asked meanwhile, and a program started. One that
// is caught already keeps what it hands on.
func (p *Pipe) catch(sig unix.Signal) error {
	old, err := getAction(sig)
	if err != nil || old.handler == handlerAddress() || old.handler == ignore {
		return err
	}
	if isFault(sig) {
		runtimeHandler = uint64(old.handler) // the same for all; before ours can be called
	}
	if err := setAction(sig, ours()); err != nil {
		return err
	}
	p.before = append(p.before, saved{sig, old})
	return nil
}

// Ignored lists the signals that this process ignores, because it was started so
// (nohup, say) or has asked for it: execve(2) passes that on. A system call for
// each takes a third of the time that /proc/self/status does.
func Ignored() (list []unix.Signal) {
	for sig := unix.Signal(1); sig <= signals; sig++ {
		if a, err := getAction(sig); err == nil && a.handler == ignore {
			list = append(list, sig)
		}
	}
	return list
}

// isFault tells whether the kernel raises the signal for what a thread does.
func isFault(sig unix.Signal) bool { return faults&(1<<sig) != 0 }

// Next waits for a signal. It is 0 once the pipe is woken up.
func (p *Pipe) Next() unix.Signal {
	var b [1]byte
	for {
		n, err := unix.Read(p.read, b[:])
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return 0
		default:
			return unix.Signal(b[0])
		}
	}
}

// Wake has one Next return 0.
func (p *Pipe) Wake() { _, _ = unix.Write(p.write, []byte{0}) }

// Close gives the signals the actions back that they had, and forgets those that
// nobody has read. Nobody may be in Next.
func (p *Pipe) Close() {
	process.mu.Lock()
	defer process.mu.Unlock()
	for _, s := range p.before {
		_ = setAction(s.sig, s.action)
	}
	p.drain()
	process.pipe = nil
}

func (p *Pipe) drain() {
	fds := []unix.PollFd{{Fd: int32(p.read), Events: unix.POLLIN}}
	for b := make([]byte, signals); ; {
		if n, err := unix.Poll(fds, 0); n == 0 || err != nil && err != unix.EINTR {
			return
		}
		_, _ = unix.Read(p.read, b)
	}
}
