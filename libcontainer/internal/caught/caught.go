package caught

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// process is the one thing of its kind that a process has: the handler's pipe.
// The handler reads writeEnd and runtimeHandler, and nothing else of ours.
var process struct {
	mu   sync.Mutex
	pipe *Pipe
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

// Open makes the pipe. There can be one at a time.
func Open() (*Pipe, error) {
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.pipe != nil {
		return nil, unix.EBUSY
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	// The handler must not wait for us to read: what is too much is lost, as
	// it is for the kernel, which keeps one of each kind.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, os.NewSyscallError("fcntl(F_SETFL, O_NONBLOCK)", err)
	}
	p := &Pipe{read: fds[0], write: fds[1], before: make([]saved, 0, signals)}
	process.pipe = p
	writeEnd = uint64(p.write)
	return p, nil
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

func (p *Pipe) catch(sig unix.Signal) error {
	if isFault(sig) {
		old, err := getAction(sig)
		if err != nil || old.handler == handlerAddress() {
			return err // caught already: ours must not be handed what it hands on
		}
		runtimeHandler = uint64(old.handler) // the same for all; before ours can be called
	}
	old, err := swapAction(sig, ours())
	switch {
	case err != nil || old.handler == handlerAddress():
		return err
	case old.handler == ignore:
		return setAction(sig, old)
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

// Close gives the signals the actions back that they had.
func (p *Pipe) Close() {
	process.mu.Lock()
	defer process.mu.Unlock()
	for _, s := range p.before {
		_ = setAction(s.sig, s.action)
	}
	process.pipe = nil
	unix.Close(p.read)
	unix.Close(p.write)
}
