package task

import (
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/stdio"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// process is a process that containerd knows: the first one of a container, or one of Exec.
type process struct {
	config stdio.Config
	done   chan struct{} // closed after the exit event

	// life is locked while the process starts, and while its end is reported. Therefore the
	// start event comes before the exit event.
	life sync.Mutex

	// Only processes of Exec have these.
	execID string
	spec   *specs.Process
	handle *libcontainer.Process // set by Start

	mu      sync.Mutex
	status  wire.Status
	pid     int
	exit    int
	exited  time.Time // zero while the process lives
	streams *stdio.Streams
	waiters []*ttrpc.Call
}

func newProcess(config stdio.Config) *process {
	return &process{config: config, done: make(chan struct{}), status: wire.Status_CREATED}
}

// state returns the answer to State.
func (p *process) state() *wire.StateResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &wire.StateResponse{
		Pid: uint32(p.pid), Status: p.status, Stdin: p.config.Stdin, Stdout: p.config.Stdout, Stderr: p.config.Stderr,
		Terminal: p.config.Terminal, ExitStatus: uint32(p.exit), ExitedAt: wire.At(p.exited),
	}
}

func (p *process) is(s wire.Status) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status == s
}

func (p *process) set(s wire.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != wire.Status_STOPPED {
		p.status = s
	}
}

// runs records the pid and the status of a process that was started.
func (p *process) runs(pid int, s wire.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.status = pid, s
}

// await answers a Wait: at once for an ended process, otherwise at its end.
func (p *process) await(call *ttrpc.Call) {
	p.mu.Lock()
	if p.exited.IsZero() {
		p.waiters = slices.DeleteFunc(p.waiters, (*ttrpc.Call).Gone) // their containerd has restarted
		p.waiters = append(p.waiters, call)
		p.mu.Unlock()
		return
	}
	r := p.result()
	p.mu.Unlock()
	call.Reply(r, nil)
}

func (p *process) result() *wire.WaitResponse {
	return &wire.WaitResponse{ExitStatus: uint32(p.exit), ExitedAt: wire.At(p.exited)}
}

// end records the end of the process. It returns the waiting calls and their answer.
func (p *process) end(exit int) ([]*ttrpc.Call, *wire.WaitResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.exit, p.exited = wire.Status_STOPPED, exit, time.Now()
	waiters := p.waiters
	p.waiters = nil
	return waiters, p.result()
}

// deleted returns the answer to Delete.
func (p *process) deleted() *wire.DeleteResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &wire.DeleteResponse{Pid: uint32(p.pid), ExitStatus: uint32(p.exit), ExitedAt: wire.At(p.exited)}
}

func (p *process) resize(width, height uint16) error {
	if s := p.io(); s != nil {
		return s.Resize(width, height)
	}
	return nil
}

func (p *process) closeStdin() {
	if s := p.io(); s != nil {
		s.CloseStdin()
	}
}

func (p *process) io() *stdio.Streams {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

func (p *process) setIO(s *stdio.Streams) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.streams = s
}

// closeIO waits for the copy of the last output and closes the streams.
func (p *process) closeIO() {
	if s := p.io(); s != nil {
		s.Drain(endTime)
		s.Close()
	}
}
