package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Filter is a compiled seccomp filter.
type Filter struct {
	Program []byte // struct sock_filter's
	Flags   uint32
}

// Job is what a walk needs beyond the plan: descriptors, and the work of
// others on the runtime side. The caller owns all files.
type Job struct {
	Stdio    [3]*os.File // nil for a stream that the terminal will be
	Preserve []*os.File  // become 3, 4, …
	Cgroup   *os.File    // cgroup2 directory to be born in
	Start    *os.File    // the gate's two ends in the container; nil for exec
	Status   *os.File    // takes the errno of a failed execve
	Enter    *os.File    // pidfd of the container's first process, for exec
	// MountNamespace is what Visit enters, and PIDNamespace, if there is one,
	// what a procfs that it mounts is for.
	MountNamespace, PIDNamespace *os.File

	Cgroups Cgroups
	// Meanwhile is called once, before anything is mounted, while the stub is
	// busy, which need not be the one that becomes the program.
	Meanwhile func(ctx context.Context, pid int) error
	Hooks     func(ctx context.Context, kind string, pid int) error
	Filter    func(ctx context.Context) (Filter, error)
	IDMaps    func(pid int, s plan.IDMaps) error
	Console   func(master *os.File) error // owns the pty master
	Listener  func(ctx context.Context, pid int, fd *os.File) error
	Spawned   func(pid int) error // before the stub is told anything
	Warn      func(msg string)
	// Env gives the program's environment; home is "" unless it was looked up.
	Env func(env []string, home string) []string

	Timeout time.Duration // for one batch
	Name    string        // argv[0] of the stub: what ps shows
	Trace   *timeline.Recorder
}

// Process is what a walk leaves behind: a process that waits at the gate or
// runs the program.
type Process struct {
	Pid   int
	Pidfd *os.File

	dismissed []*remote.Stub
	trace     *timeline.Recorder
	stub      int // who has the last batch
}

// Executed is for a trace: the last batch is done.
func (p *Process) Executed() { p.trace.EndBatches(p.stub) }

// Settle collects what the walk has left behind, stubs that have ended or are
// about to. It is for when there is time.
func (p *Process) Settle() {
	for _, s := range p.dismissed {
		s.Reap()
	}
	p.dismissed = nil
}

// walk is a plan on its way.
type walk struct {
	*Job
	ctx   context.Context
	items []plan.Item
	at    int // the item being added or acted on

	stub      *remote.Stub
	forking   *remote.Forking // of stub, which is not known to be there yet
	forker    *remote.Stub    // whose fork that is
	dismissed []*remote.Stub  // to be reaped
	ignored   []unix.Signal   // by us, and so by the stub
	launching int             // the item that prepared it
	building  flight          // what steps add to
	inflight  []flight        // with the stub, their results not back yet
	retry     struct{ item, count int }
	nofile    *plan.Rlimit // to be restored
	room      *plan.Rlimit // for the set-up; nil where there is enough
	nproc     *plan.Rlimit // for the clone
	layout    layout

	root    *remote.FD            // the root file system's tree
	kept    map[string]*remote.FD // mounts of the plan by destination
	places  destinations
	caution int // how often a full batch is halved
	// lettingGo: mounts are closed once they are attached, as there is no room for
	// all of them, or hooks may want to unmount them.
	lettingGo bool
	toolbox   *remote.FD          // the tmpfs with the sources of masks
	trees     map[int]*tree       // by item: what the runtime side opened for it
	mappings  map[string]*os.File // user namespaces of id-mapped mounts, by their maps
	ofClone   *plan.Item          // the scheduling that the runtime sets on the clone
	procfs    *remote.FD
	// noPidnsOption: procfs does not know pidns= here, before Linux 6.18.
	noPidnsOption bool
	closedPts     bool               // ptmx in /dev/pts may not be opened: /dev/ptmx is taken
	noFchmodat2   bool               // nor is there a chmod of O_PATH descriptors, before Linux 6.6
	joined        map[int]*remote.FD // namespaces to join, by item
	refused       []int              // joins to be tried again behind the user namespace
	home          string
	homeRead      bool // home is that of the whole passwd
	program       string
	filter        *fetched        // nil until it was asked for
	cwd           []remote.Result // the tries to enter process.cwd
	live          *live           // in a container that runs, nil elsewhere
}

// flight is a batch and what goes with it.
type flight struct {
	*remote.Batch
	files   [][]int // sent behind it, a group for each call that takes them
	pending []pending
}

// pending is a look at results, once they are there.
type pending struct {
	item int
	look func() error
}

// layout is the stub's descriptor table above stdio.
// What set-up alone needs is behind what the last batch needs.
type layout struct{ preserve, control, status, start, keep, enter, cgroup, end int }

// Run walks the plan. On failure the stub and everything it has mounted are
// gone when it returns.
func Run(ctx context.Context, p *plan.Plan, job *Job) (*Process, error) {
	w := newWalk(ctx, p, job)
	defer w.closeTrees()
	proc, err := w.guarded(w.run)
	if err != nil {
		_ = w.finishFork() // there is a first error already
		if w.stub != nil {
			w.stub.Kill()
		}
		(&Process{dismissed: w.dismissed}).Settle()
		return nil, err
	}
	return proc, nil
}

// guarded takes steps of a walk, whose end after a panic is as after an error.
func (w *walk) guarded(take func() (*Process, error)) (_ *Process, err error) {
	defer bug.Caught(&err)
	return take()
}

func newWalk(ctx context.Context, p *plan.Plan, job *Job) *walk {
	w := &walk{Job: job, ctx: ctx, items: p.Items, building: flight{Batch: &remote.Batch{}}, kept: map[string]*remote.FD{}, trees: map[int]*tree{}, mappings: map[string]*os.File{}, places: destinations{made: map[int]bool{}}}
	w.lay()
	return w
}

func (w *walk) lay() {
	n := 3
	w.layout.preserve = n
	n += len(w.Preserve)
	w.layout.control = n
	w.layout.status = n + 1
	n = w.layout.status
	if w.Start != nil {
		n++
		w.layout.start = n
	}
	w.layout.keep = n
	if w.Enter != nil {
		n++
		w.layout.enter = n
	}
	if w.Cgroup != nil {
		n++
		w.layout.cgroup = n
	}
	w.layout.end = n + 1
}

// run takes all steps and gives the last batch, which is the program's.
func (w *walk) run() (*Process, error) {
	program, err := w.steps()
	if err != nil {
		return nil, err
	}
	if !program {
		return nil, errors.New("BUG: the plan has no program")
	}
	return w.lastBatch()
}

// steps takes one step after the other, up to those of the last batch or, where
// there is no program, to the end.
func (w *walk) steps() (program bool, err error) {
	for w.at = 0; ; w.at++ {
		if ctx := w.asking(); ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		end := w.at == len(w.items) || isLast(w.items[w.at].Step)
		if end || w.items[w.at].Step.Side() == plan.Runtime || w.full() {
			if back, err := w.flush(); err != nil {
				return false, err
			} else if back {
				continue
			}
		}
		if end {
			return w.at < len(w.items), nil
		}
		w.building.Tag(w.at)
		if err := w.take(w.items[w.at]); err != nil && err != errAgain {
			return false, failed(w.items[w.at], err)
		}
	}
}

// asking is the context that can ask for an end.
func (w *walk) asking() context.Context {
	if w.live != nil {
		return w.live.ctx
	}
	return w.ctx
}

// take is step, with a trace if there is one.
func (w *walk) take(it plan.Item) error {
	if w.Trace == nil {
		return w.step(it.Step)
	}
	span := w.Trace.BeginStep(it.Step, it.Field)
	err := w.step(it.Step)
	if err == errAgain {
		span.End()
	} else {
		span.EndWith(err)
	}
	return err
}

// task is what calls with a tag are for. The stub's start has no calls: what is
// not tagged belongs to the step that is being taken.
func (w *walk) task(tag int) timeline.Task {
	if tag == 0 {
		tag = min(w.at, len(w.items)-1)
	}
	return timeline.Task{Step: w.items[tag].Step, Field: w.items[tag].Field}
}

// errAgain: the step needed results, and getting them sent the walk back.
var errAgain = errors.New("walk: again")

// full tells whether a batch has enough steps. It leaves room for one more, the
// largest of which are some long paths. After a step that failed, the next ones
// are likely to fail too, as with mountpoints that are missing, and what was
// built behind it was built for nothing: batches become smaller, and larger again
// when they succeed.
func (w *walk) full() bool { return w.building.Size() > maxBatch>>w.caution }

// overfull tells whether one step alone has filled what full leaves room for.
func (w *walk) overfull() bool { return w.building.Size() > maxBatch+maxBatch/2 }

const (
	maxBatch   = 64 << 10
	maxCaution = 7 // a step or two
)

// expect makes room for the steps that are left, or as many as a batch has.
func (w *walk) expect() {
	const ofStep, ofData = 10, 24 // calls of a step, on average and some more, and bytes of data of a call
	w.building.Expect(min(ofStep*(len(w.items)-w.at), maxBatch/(remote.CallSize+ofData)))
}

// later has look called when the results of the batch are there.
func (w *walk) later(look func() error) {
	w.building.pending = append(w.building.pending, pending{w.at, look})
}

// cut sends what has been built and goes on building while the stub works.
func (w *walk) cut() (back bool, err error) {
	if back, err = w.collect(); back || err != nil {
		return back, err
	}
	return false, w.send()
}

// send is cut without looking at results, which will be there later.
func (w *walk) send() error {
	if w.building.Len() == 0 {
		return w.launch()
	}
	f, more := w.building, w.full()
	w.building = flight{Batch: &remote.Batch{}}
	w.building.Tag(w.at)
	if more {
		w.expect()
	}
	if err := w.give(f); err != nil {
		return err
	}
	w.inflight = append(w.inflight, f)
	return w.launch()
}

// give sends the stub a batch and its files.
func (w *walk) give(f flight) error {
	var err error
	if n := len(w.inflight); n == 0 {
		err = w.stub.Send(f.Batch)
	} else {
		err = w.stub.SendBehind(f.Batch, w.inflight[n-1].Batch)
	}
	if err != nil {
		if large := (*remote.SizeError)(nil); errors.As(err, &large) {
			return failed(w.items[large.Tag], err)
		}
		return w.lost(w.forkless(err))
	}
	for _, files := range f.files {
		if err := w.stub.SendFiles(f.Batch, files); err != nil {
			return w.lost(err)
		}
	}
	return nil
}

// canFollow tells whether what has been built can be sent before the results of
// what is with the stub have been looked at.
func (w *walk) canFollow() bool {
	return len(w.inflight) == 1 && len(w.inflight[0].pending) == 0 && w.forking == nil && w.building.CanFollow(w.inflight[0].Batch)
}

// forkless is why a stub could not be sent anything, if it is that there is none.
func (w *walk) forkless(err error) error {
	if e := w.finishFork(); e != nil {
		return e
	}
	return err
}

// flush has everything executed that has been built. back tells that a step
// has to be taken again; the walk is at the item before that one then.
func (w *walk) flush() (back bool, err error) {
	if !w.canFollow() {
		back, err = w.collect()
	}
	if !back && err == nil {
		err = w.send()
	}
	if back || err != nil {
		return back, err
	}
	if err := w.finishFork(); err != nil {
		return false, err
	}
	w.fetchFilter()
	return w.collect()
}

// settle is flush for use inside of a step.
func (w *walk) settle() error {
	switch back, err := w.flush(); {
	case err != nil:
		return err
	case back:
		return errAgain
	}
	return nil
}

// collect takes the results of what is with the stub. Nothing built on a batch
// that failed is ever executed.
func (w *walk) collect() (back bool, err error) {
	for len(w.inflight) > 0 && !back && err == nil {
		f := w.inflight[0]
		w.inflight = w.inflight[1:]
		back, err = w.results(f)
	}
	return back, err
}

func (w *walk) results(f flight) (back bool, err error) {
	if err := w.finishFork(); err != nil {
		return false, err
	}
	failure := w.stub.Receive(f.Batch)
	done := len(w.items)
	if ce := (*remote.CallError)(nil); errors.As(failure, &ce) {
		done = ce.Tag
	} else if failure != nil {
		closeFiles(f.Files())
		return false, w.lost(failure)
	}
	for _, p := range f.pending {
		if p.item < done {
			if err := p.look(); err != nil {
				return false, failed(w.items[p.item], err)
			}
		}
	}
	if failure == nil {
		w.caution = max(0, w.caution-1)
		return false, nil
	}
	closeFiles(f.Files()) // those of the step that failed; it will bring others
	w.caution = min(maxCaution, w.caution+1)
	for _, behind := range append(w.inflight, w.building) {
		behind.Discard()
	}
	w.inflight, w.building = nil, flight{Batch: &remote.Batch{}}
	return w.rescue(f.Batch, failure)
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// receive has the stub take files over.
func (w *walk) receive(files []int, names []string) []*remote.FD {
	w.building.files = append(w.building.files, files)
	return w.building.ReceiveFiles(w.stub.Control(), names)
}

// rescue is for a batch that ended early. Steps before the failed one are
// done, later ones are untouched: the failed one is taken again after its slow
// path has found something to do about it.
func (w *walk) rescue(b *remote.Batch, err error) (bool, error) {
	var ce *remote.CallError
	if !errors.As(err, &ce) {
		return false, w.lost(err)
	}
	it := w.items[ce.Tag]
	if w.retry.item != ce.Tag {
		w.retry.item, w.retry.count = ce.Tag, 0
	}
	if w.retry.count++; w.retry.count > maxRetries {
		return false, failed(it, err)
	}
	reason := w.kernelLog(b, ce)
	w.at = ce.Tag
	again, slowErr := w.slow(it, b, ce)
	if slowErr != nil {
		return false, slowErr
	}
	if !again {
		if reason != "" {
			return false, hint(it, err, reason)
		}
		return false, failed(it, err)
	}
	if err := w.closeAll(b.Opened(ce.Tag)); err != nil {
		return false, err
	}
	w.at = ce.Tag - 1
	return true, nil
}

// maxRetries bounds the walks back to one step: openat2(2) says EAGAIN for
// every rename anywhere while it resolves "..", 128 tries leave 0.1 % failures
// under a rename storm on 16 cores.
const maxRetries = 128

// lost explains what became of a stub that does not answer.
func (w *walk) lost(err error) error {
	it := w.items[min(w.at, len(w.items)-1)]
	if errors.Is(err, remote.ErrTimeout) {
		return &Failure{
			Step: "set the container up, before " + it.Step.String(), Err: err,
			Hint: "it may be stopped or frozen, or wait for a file system that does not answer",
		}
	}
	return err
}

// closeAll closes descriptors of a step that will be taken again.
func (w *walk) closeAll(fds []*remote.FD) error {
	if len(fds) == 0 {
		return nil
	}
	var b remote.Batch
	for _, fd := range fds {
		b.Close(fd).TolerateAll()
	}
	return w.stub.Do(&b)
}

// ask has the stub execute a batch of the slow path.
func (w *walk) ask(b *remote.Batch) error { return w.stub.Do(b) }

// kernelLog reads what a file system context has to say about a refused
// parameter (fsopen(2), "retrieving diagnostic messages").
func (w *walk) kernelLog(b *remote.Batch, ce *remote.CallError) string {
	var ctx *remote.FD
	for _, fd := range b.Opened(ce.Tag) {
		if fd.IsContext() {
			ctx = fd
		}
	}
	if ctx == nil {
		return ""
	}
	var q remote.Batch
	r, buf := q.Read(ctx, 256)
	r.TolerateAll()
	if w.stub.Do(&q) != nil || r.Value() <= 2 {
		return ""
	}
	// "e message\n": the level, a space, what some file systems end a line with.
	return strings.TrimSpace(string(buf.First(r.Value())[2:]))
}

func isErrno(err error, list ...unix.Errno) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
