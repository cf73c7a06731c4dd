package sigaction

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// process holds the handler's pipe, of which a process has one. The handler
// reads writeEnd and runtimeHandler and no other variable of this package.
//
// The pipe is created once and never closed. The last run of the handler cannot
// be observed, and after a close its descriptor number could belong to another
// file.
var process struct {
	mu   sync.Mutex
	made bool
	ends [2]int // to read from, and to write to
	pipe *Pipe  // the present holder
}

// Pipe delivers the caught signals in the order of their arrival.
type Pipe struct {
	read, write int
	before      []saved
}

// saved is an action to restore.
type saved struct {
	sig    unix.Signal
	action action
}

// signals is the number of signals (_NSIG).
const signals = 64

// Open returns the pipe, empty. One caller at a time can have it.
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
	// The handler must not wait for a reader. A full pipe loses signals, as
	// the kernel does: it keeps one pending signal of each kind.
	if err := unix.SetNonblock(fds[1], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return os.NewSyscallError("fcntl(F_SETFL, O_NONBLOCK)", err)
	}
	process.ends, process.made = fds, true
	writeEnd = uint64(fds[1])
	return nil
}

// Catch writes the given signals to the pipe from now on. A signal that was
// ignored when this process was started (nohup) stays ignored.
func (p *Pipe) Catch(list ...unix.Signal) error {
	for _, sig := range list {
		if err := p.catch(sig); err != nil {
			return err
		}
	}
	return nil
}

// catch leaves an ignored signal alone: it must be ignored at every moment, because
// [Ignored] may ask and a program may start in between. A signal that has our handler
// already keeps the action that Close restores.
func (p *Pipe) catch(sig unix.Signal) error {
	if isIgnored(sig) {
		return nil
	}
	if isFault(sig) && runtimeHandler == 0 { // the same for all; before ours can be called
		old, err := getAction(sig)
		if err != nil {
			return err
		}
		runtimeHandler = uint64(old.handler)
	}
	old, err := swapAction(sig, ours())
	if err != nil || old.handler == handlerAddress() {
		return err
	}
	p.before = append(p.before, saved{sig, old})
	return nil
}

// isFault reports whether the kernel raises the signal for an error of a thread.
func isFault(sig unix.Signal) bool { return faults&(1<<sig) != 0 }

// Next waits for a signal. It returns 0 after Wake.
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

// Wake makes one Next return 0.
func (p *Pipe) Wake() { _, _ = unix.Write(p.write, []byte{0}) }

// Close restores the actions of all caught signals and drops unread signals.
// No Next may be under way.
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
