package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// stubs has the stub that executes the batches, and its predecessors.
type stubs struct {
	progress
	job    *Job
	ctx    context.Context // its end ends every wait for a stub
	layout layout

	stub      *remote.Stub
	launching int             // index of the item that prepared the stub
	forking   *remote.Forking // the fork that creates stub; nil once it has finished
	forker    *remote.Stub    // the parent in that fork
	dismissed []*remote.Stub  // to be reaped
}

func newStubs(ctx context.Context, items []plan.Item, job *Job) stubs {
	return stubs{progress: progress{items: slices.Clone(items), until: ctx}, job: job, ctx: ctx, layout: newLayout(job)}
}

// defaultTimeout bounds one batch. A busy host needs far less.
const defaultTimeout = 30 * time.Second

// launch starts the prepared stub, unless it is running already.
func (st *stubs) launch() error {
	if st.stub == nil || st.stub.Launched() {
		return nil
	}
	it := st.items[st.launching]
	if err := st.stub.Launch(); err != nil {
		return unrelated{failed(it, st.launchError(it, err))}
	}
	return nil
}

// launchError explains why the kernel creates no process. The kernel's rules on
// moves between cgroups are in cgroup-v2.rst, "Delegation Containment".
func (st *stubs) launchError(it plan.Item, err error) error {
	switch {
	case errors.Is(err, unix.EACCES) && st.job.Cgroup != nil:
		return hint(it, err, "an ordinary user may move processes only within a delegated cgroup: start the runtime in one, for example by systemd-run --user --scope")
	case errors.Is(err, unix.EAGAIN):
		return hint(it, err, noMoreProcesses)
	}
	return err
}

// noMoreProcesses explains EAGAIN from clone.
const noMoreProcesses = "the limit on processes is reached: pids.max of the container's cgroup, or RLIMIT_NPROC"

func (st *stubs) timeout() time.Duration {
	if st.job.Timeout != 0 {
		return st.job.Timeout
	}
	return defaultTimeout
}

// replace continues the walk with another stub.
func (st *stubs) replace(child *remote.Stub) {
	st.stub.Dismiss()
	st.dismissed = append(st.dismissed, st.stub)
	st.stub = child
}

// finishFork waits for the child of forkInto. By then the child's first batch is
// in its socket.
func (st *stubs) finishFork() error {
	f := st.forking
	if f == nil {
		return nil
	}
	st.forking = nil
	st.stub = st.forker
	if err := f.Finish(); err != nil {
		return st.forkFailure(err)
	}
	st.replace(f.Child)
	return nil
}

// forkFailure attributes a failed fork to the step whose call failed.
func (st *stubs) forkFailure(err error) error {
	ce := (*remote.CallError)(nil)
	if !errors.As(err, &ce) {
		return st.lost(err)
	}
	if ce.Nr == unix.SYS_CLONE3 {
		err = st.launchError(st.items[ce.Tag], err)
	}
	return failed(st.items[ce.Tag], err)
}

// layout holds the numbers of the stub's descriptors above stdio. The numbers
// up to keep stay for the last batch. The set-up alone uses those behind it
// (enter, cgroup), and closeFiles closes them.
type layout struct{ preserve, control, status, start, keep, enter, cgroup, end int }

func newLayout(job *Job) layout {
	l := layout{preserve: 3}
	l.control = l.preserve + len(job.Preserve)
	l.status = l.control + 1
	n := l.status
	if job.Start != nil {
		n++
		l.start = n
	}
	l.keep = n
	if job.Enter != nil {
		n++
		l.enter = n
	}
	if job.Cgroup != nil {
		n++
		l.cgroup = n
	}
	l.end = n + 1
	return l
}

// lost explains a timeout of the stub: it names the step that the walk had
// reached. It returns every other error as it is.
func (st *stubs) lost(err error) error {
	if errors.Is(err, remote.ErrTimeout) {
		return &Failure{
			Step: "set the container up, before " + st.present().Step.String(), Err: err,
			Hint: "it may be stopped or frozen, or wait for a file system that does not answer",
		}
	}
	return err
}

// closeAll has the stub close descriptors, for example of a step that will be
// repeated.
func (st *stubs) closeAll(fds []*remote.FD) error {
	if len(fds) == 0 {
		return nil
	}
	var b remote.Batch
	for _, fd := range fds {
		b.Close(fd).TolerateAll()
	}
	return st.stub.Do(&b)
}

// ask has the stub execute a batch at once, outside the walk's order. It is for
// slow paths and for steps that have settled.
func (st *stubs) ask(b *remote.Batch) error { return st.stub.Do(b) }
