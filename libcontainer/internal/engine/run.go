package engine

import (
	"context"
	"errors"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// Run walks the plan. If it returns an error, the stub and all its mounts are
// gone.
func Run(ctx context.Context, p *plan.Plan, job *Job) (*Process, error) {
	w := newWalk(ctx, p, job)
	defer w.sources.close()
	proc, err := w.guarded(w.run)
	if err != nil {
		_ = w.finishFork() // err is the first error
		if w.stub != nil {
			w.stub.Kill()
		}
		(&Process{dismissed: w.dismissed}).Reap()
		return nil, err
	}
	return proc, nil
}

// Visit walks a plan without a program: the stub takes the steps in a running
// container and ends. After a failure Visit unmounts the mounts that it has made, so
// the container is unchanged. If the stub no longer answers, the mounts stay;
// LiveMounts lists them and the error says so.
func Visit(ctx context.Context, p *plan.Plan, job *Job) (LiveMounts, error) {
	answering, stop := outlasting(ctx, grace)
	defer stop()
	w := newVisit(answering, ctx, p, job)
	defer w.sources.close()
	_, err := w.guarded(func() (*Process, error) {
		program, err := w.steps()
		if program {
			err = errors.New("BUG: the plan has a program")
		}
		return nil, err
	})
	if w.stub == nil {
		return LiveMounts{}, err
	}
	defer w.stub.Kill()
	if err != nil {
		err = w.visit.takeBack(err)
	}
	return LiveMounts{w.visit.mounts(), w.visit.gone}, err
}

// grace is the time that the stub has for the present batch when ctx ends. Visit needs
// the stub afterwards, to unmount the mounts that it has made. The stub does not get
// longer, because it may be waiting for a file system that does not answer.
const grace = 700 * time.Millisecond

// outlasting returns a context that ends d after ctx ends.
func outlasting(ctx context.Context, d time.Duration) (context.Context, func()) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
	})
	return later, func() {
		stop()
		cancel(nil)
	}
}

// guarded calls take and turns a panic into an error. So the clean-up after a
// panic is the same as after an error.
func (w *walk) guarded(take func() (*Process, error)) (_ *Process, err error) {
	defer bug.Caught(&err)
	return take()
}
