package libcontainer

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/libcontainer/internal/sendfd"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Process is a further process of a container, started by Exec. The caller has to call
// Wait: until then an ended process stays a zombie, even after Close and after the
// container's Delete. Any number of goroutines may call the methods at once. After
// Close, Signal and Wait fail with os.ErrClosed, unless Wait knows the exit status.
type Process struct {
	pid    int
	handle handle
	trace  *timeline.Recorder
}

// Pid returns the host's pid of the process.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal to the process. The error is unix.ESRCH once the process has
// been reaped.
func (p *Process) Signal(sig unix.Signal) error { return proc.Signal(p.handle.pidfd, sig) }

// Wait waits until the process has ended and returns its exit status, or 128+n after
// signal n. The process is a child of the caller. Another reaper of the caller may be
// faster: see Container.Wait. The end of ctx ends only the wait. Wait may be called
// again, and by several goroutines at once.
func (p *Process) Wait(ctx context.Context) (_ int, err error) {
	defer bug.Caught(&err)
	defer p.trace.Begin(timeline.Wait, "wait for the program").End()
	if !p.handle.isKnown() {
		if err := proc.Wait(ctx, p.handle.pidfd); err != nil {
			return 0, err
		}
	}
	return p.handle.reap(ctx, p.pid)
}

// Close closes the pidfd. The process goes on, and so does a Wait in progress.
func (p *Process) Close() error { return p.handle.pidfd.Close() }

func (p *Process) kill() {
	_ = p.Signal(unix.SIGKILL)
	ctx, stop := deadline.Within(context.Background(), waitTime)
	defer stop()
	p.handle.collect(ctx)
	p.Close()
}

func (p *Process) announce(ctx context.Context, o ExecOptions) (err error) {
	defer bug.Caught(&err)
	if o.PidfdSocket != "" {
		if err := sendfd.Send(ctx, o.PidfdSocket, p.handle.pidfd, "setns"); err != nil {
			return err
		}
	}
	return writePidFile(o.PidFile, p.pid)
}
