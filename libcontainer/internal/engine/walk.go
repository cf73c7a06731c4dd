package engine

import (
	"context"
	"errors"
	"os"
	"slices"
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

// Job is the input of a walk beside the plan: descriptors, and functions that
// do the caller's part of the work on the runtime side. The caller owns all
// files.
type Job struct {
	Stdio    [3]*os.File // nil for a stream that becomes the terminal
	Preserve []*os.File  // descriptors 3, 4, … of the program
	Cgroup   *os.File    // cgroup2 directory in which the stub or its child starts
	Start    *os.File    // the gate (a FIFO), open for reading and writing; nil for exec
	Status   *os.File    // receives the errno of a failed execve
	Enter    *os.File    // pidfd of the container's first process, for exec
	// Visit enters MountNamespace. A procfs that it mounts belongs to
	// PIDNamespace, which may be nil.
	MountNamespace, PIDNamespace *os.File

	Cgroups Cgroups
	// Meanwhile is called once, before the first mount, while the stub is busy.
	// pid is the present stub, which may still fork: its child may be the
	// process that becomes the program.
	Meanwhile func(ctx context.Context, pid int) error
	Hooks     func(ctx context.Context, kind string, pid int) error
	Filter    func(ctx context.Context) (Filter, error)
	IDMaps    func(pid int, s plan.IDMaps) error
	Console   func(master *os.File) error // takes ownership of the pty master
	Listener  func(ctx context.Context, pid int, fd *os.File) error
	Spawned   func(pid int) error // called before the stub receives its first batch
	Warn      func(msg string)
	// Env returns the program's environment; home is "" unless the plan looks
	// it up.
	Env func(env []string, home string) []string

	Timeout time.Duration // for one batch
	Name    string        // argv[0] of the stub: what ps shows
	Trace   *timeline.Recorder
}

// Process is the result of a walk: a process that waits at the gate or executes
// the program.
type Process struct {
	Pid   int
	Pidfd *os.File

	dismissed []*remote.Stub
	trace     *timeline.Recorder
	stub      int // pid of the stub that received the last batch
}

// Executed ends the last batch in the trace: the program has been executed.
func (p *Process) Executed() { p.trace.EndBatches(p.stub) }

// Settle reaps the dismissed stubs, which have ended or are about to end. The
// caller calls it when it has time.
func (p *Process) Settle() {
	for _, s := range p.dismissed {
		s.Reap()
	}
	p.dismissed = nil
}

// walk is the state of a plan's execution.
type walk struct {
	*Job
	ctx   context.Context
	items []plan.Item
	at    int // the index of the item that is added or executed now

	stub      *remote.Stub
	forking   *remote.Forking // the fork that creates stub; nil once it has finished
	forker    *remote.Stub    // the parent in that fork
	dismissed []*remote.Stub  // to be reaped
	opener    *remote.Stub    // nil if no source had to be waited for
	ignored   []unix.Signal   // signals that this process ignores; the stub inherits that
	launching int             // index of the item that prepared the stub
	building  *flight         // the batch to which steps add calls; the pointer never changes
	inflight  []flight        // sent batches whose results are not back yet
	retry     struct{ item, count int }
	nofile    *plan.Rlimit // RLIMIT_NOFILE of the program, to be restored
	room      *plan.Rlimit // RLIMIT_NOFILE for the set-up; nil if the present limit suffices
	nproc     *plan.Rlimit // RLIMIT_NPROC, which the clone sets itself
	layout    layout

	root    *remote.FD            // the root file system's tree
	kept    map[string]*remote.FD // mounts of the plan whose descriptors are kept, by destination
	places  destinations
	caution int // how many times the size of a full batch is halved
	// lettingGo: the stub closes a mount's descriptor as soon as the mount is
	// attached. Either the limit has no room for all of them, or hooks may
	// want to unmount them.
	lettingGo bool
	toolbox   *remote.FD          // the tmpfs with the sources of masks
	trees     map[int]*tree       // by item: the source that the runtime side opened
	mappings  map[string]*os.File // user namespaces for id-mapped mounts, by their maps
	ofClone   *plan.Item          // the scheduling step that the runtime side applies to the clone
	procfs    *remote.FD
	// noPidnsOption: this kernel's procfs has no option pidns= (before 6.18).
	noPidnsOption bool
	closedPts     bool               // /dev/pts/ptmx may not be opened; use /dev/ptmx
	noFchmodat2   bool               // this kernel has no fchmodat2 (before 6.6)
	joined        map[int]*remote.FD // namespaces to join, by item
	refused       []int              // joins to repeat as root of the user namespace
	home          string
	homeRead      bool // home is final: the slow path has set it
	program       string
	filter        *fetched        // nil until the first request
	cwd           []remote.Result // the attempts to enter process.cwd
	live          *live           // set in a running container, otherwise nil
}

// flight is a batch with the files that follow it and the checks of its
// results.
type flight struct {
	remote.Batch
	files   [][]int // sent behind the batch, one group for each call that receives files
	pending []pending
}

// pending is a function that looks at results once they are back.
type pending struct {
	item int
	look func() error
}

// layout holds the numbers of the stub's descriptors above stdio. The numbers
// up to keep stay for the last batch. The set-up alone uses those behind it
// (enter, cgroup), and closeFiles closes them.
type layout struct{ preserve, control, status, start, keep, enter, cgroup, end int }

// Run walks the plan. If it returns an error, the stub and all its mounts are
// gone.
func Run(ctx context.Context, p *plan.Plan, job *Job) (*Process, error) {
	w := newWalk(ctx, p, job)
	defer w.closeTrees()
	defer w.abandonOpener()
	proc, err := w.guarded(w.run)
	if err != nil {
		_ = w.finishFork() // err is the first error
		if w.stub != nil {
			w.stub.Kill()
		}
		(&Process{dismissed: w.dismissed}).Settle()
		return nil, err
	}
	return proc, nil
}

// guarded calls take and turns a panic into an error. So the clean-up after a
// panic is the same as after an error.
func (w *walk) guarded(take func() (*Process, error)) (_ *Process, err error) {
	defer bug.Caught(&err)
	return take()
}

func newWalk(ctx context.Context, p *plan.Plan, job *Job) *walk {
	w := &walk{Job: job, ctx: ctx, items: slices.Clone(p.Items), building: &flight{}, kept: map[string]*remote.FD{}, trees: map[int]*tree{}, mappings: map[string]*os.File{}, places: destinations{made: map[int]bool{}}}
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

// run takes all steps and sends the last batch, which executes the program.
func (w *walk) run() (*Process, error) {
	program, err := w.steps()
	if err != nil {
		return nil, err
	}
	if !program {
		return nil, errors.New("BUG: the plan has no program")
	}
	w.dismissOpener()
	return w.lastBatch()
}

// steps takes one step after the other. It stops at the first step of the last
// batch, or at the end of a plan without a program.
//
// It flushes before each step of the runtime side: all steps before that one
// have to be done. A flush may set w.at back to repeat a failed step.
func (w *walk) steps() (program bool, err error) {
	for w.at = 0; ; w.at++ {
		if ctx := w.asking(); ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		end := w.at == len(w.items) || isLast(w.items[w.at].Step)
		var err error
		if end || w.items[w.at].Step.Side() == plan.Runtime || w.full() {
			err = w.flush(end)
		}
		if err == nil && end {
			return w.at < len(w.items), nil
		}
		if err == nil {
			w.building.Tag(w.at)
			err = w.take(w.items[w.at])
			if err != nil && !isStopped(err) {
				err = failed(w.items[w.at], err)
			}
		}
		if err = w.rescue(err); err != nil {
			return false, err
		}
	}
}

// asking returns the context whose end stops the walk between steps.
func (w *walk) asking() context.Context {
	if w.live != nil {
		return w.live.ctx
	}
	return w.ctx
}

// take calls step and records it in the trace, if there is one.
func (w *walk) take(it plan.Item) error {
	if w.Trace == nil {
		return w.step(it.Step)
	}
	span := w.Trace.BeginStep(it.Step, it.Field)
	err := w.step(it.Step)
	if isStopped(err) {
		span.End()
	} else {
		span.EndWith(err)
	}
	return err
}

// task returns the step and field for calls with the tag. The start of the stub
// has no calls and no tag: it belongs to the present step.
func (w *walk) task(tag int) timeline.Task {
	if tag == 0 {
		tag = min(w.at, len(w.items)-1)
	}
	return timeline.Task{Step: w.items[tag].Step, Field: w.items[tag].Field}
}

// stopped is the error of a step that waited for results and found a failed call,
// its own or one of an earlier step. The walk then looks for a remedy (rescue).
type stopped struct {
	batch remote.Batch // the batch with the failed call
	call  *remote.CallError
}

func (s *stopped) Error() string { return s.call.Error() }
func (s *stopped) Unwrap() error { return s.call }

func isStopped(err error) bool {
	var s *stopped
	return errors.As(err, &s)
}

// full reports whether the batch is large enough to be sent. The limit leaves
// room in the stub's arena for one more step; the largest steps contain several
// long paths.
//
// After a failed step the next steps are likely to fail too, for example for
// missing mountpoints. The work on the batch behind a failure is lost. So each
// failure halves the limit (caution), and each success doubles it again.
func (w *walk) full() bool { return w.building.Size() > maxBatch>>w.caution }

// overfull reports whether a single step has used the room that full leaves.
func (w *walk) overfull() bool { return w.building.Size() > maxBatch+maxBatch/2 }

const (
	maxBatch   = 64 << 10
	maxCaution = 7 // 512 bytes: one step or two
)

// expect reserves memory for the remaining steps, or for a full batch.
func (w *walk) expect() {
	const ofStep, ofData = 10, 24 // calls of a step (the average and a margin), bytes of data of a call
	w.building.Expect(min(ofStep*(len(w.items)-w.at), maxBatch/(remote.CallSize+ofData)))
}

// later has look called once the results of the batch are there. look is not
// called if the present step or an earlier one fails.
func (w *walk) later(look func() error) {
	w.building.pending = append(w.building.pending, pending{w.at, look})
}

// cut collects earlier results and sends the batch. The walk goes on building
// the next batch while the stub executes this one.
func (w *walk) cut() error {
	if err := w.collect(); err != nil {
		return err
	}
	return w.send()
}

// send sends the batch without collecting earlier results first.
func (w *walk) send() error {
	if w.building.Len() == 0 {
		return w.launch()
	}
	f, more := *w.building, w.full()
	*w.building = flight{}
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

// give sends the stub a batch and its files. Behind another batch it marks this
// one: the stub drops it if that one fails.
func (w *walk) give(f flight) error {
	var err error
	if n := len(w.inflight); n == 0 {
		err = w.stub.Send(&f.Batch)
	} else {
		err = w.stub.SendBehind(&f.Batch, &w.inflight[n-1].Batch)
	}
	if err != nil {
		if large := (*remote.SizeError)(nil); errors.As(err, &large) {
			return failed(w.items[large.Tag], err)
		}
		return w.lost(w.forkless(err))
	}
	for _, files := range f.files {
		if err := w.stub.SendFiles(&f.Batch, files); err != nil {
			return w.lost(err)
		}
	}
	return nil
}

// canFollow reports whether the batch may be sent before the results of the
// previous one are known. At most one batch may be in flight. No check may wait
// for its results, no fork may be in progress, and the new batch must not use a
// descriptor that the previous one opens: its number is not known yet.
func (w *walk) canFollow() bool {
	return len(w.inflight) == 1 && len(w.inflight[0].pending) == 0 && w.forking == nil && w.building.CanFollow(&w.inflight[0].Batch)
}

// forkless returns the error of the fork if sending failed because the fork has
// created no stub; otherwise it returns err.
func (w *walk) forkless(err error) error {
	if e := w.finishFork(); e != nil {
		return e
	}
	return err
}

// flush is settle between two steps. Before the last batch it fetches the filter
// in the meantime.
func (w *walk) flush(end bool) error {
	if err := w.submit(); err != nil {
		return err
	}
	if end {
		w.fetchFilter()
	}
	return w.collect()
}

// settle has the stub execute the batch, and waits for all results. After a failed
// call it returns a *stopped, which the step returns to the walk.
func (w *walk) settle() error {
	if err := w.submit(); err != nil {
		return err
	}
	return w.collect()
}

// submit sends the batch. Afterwards no fork is in progress.
func (w *walk) submit() error {
	if !w.canFollow() {
		if err := w.collect(); err != nil {
			return err
		}
	}
	if err := w.send(); err != nil {
		return err
	}
	return w.finishFork()
}

// collect receives the results of the batches in flight, in order. It stops at
// a failure. No later batch is ever executed then: the stub drops a batch that
// is marked as behind the failed one, and results discards those here.
func (w *walk) collect() error {
	for len(w.inflight) > 0 {
		f := w.inflight[0]
		w.inflight = w.inflight[1:]
		if err := w.results(f); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) results(f flight) error {
	if err := w.finishFork(); err != nil {
		return err
	}
	failure := w.stub.Receive(&f.Batch)
	done := len(w.items)
	ce := (*remote.CallError)(nil)
	if errors.As(failure, &ce) {
		done = ce.Tag
	} else if failure != nil {
		closeFiles(f.Files())
		return w.lost(failure)
	}
	for _, p := range f.pending {
		if p.item < done {
			if err := p.look(); err != nil {
				return failed(w.items[p.item], err)
			}
		}
	}
	if ce == nil {
		w.caution = max(0, w.caution-1)
		return nil
	}
	closeFiles(f.Files()) // the failed step will send new ones when it is repeated
	w.caution = min(maxCaution, w.caution+1)
	w.discard()
	return &stopped{f.Batch, ce}
}

// discard drops the batches behind a failed one, and the batch under construction.
func (w *walk) discard() {
	for _, behind := range w.inflight {
		behind.Discard()
	}
	w.building.Discard()
	w.inflight, *w.building = nil, flight{}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// receive adds the calls by which the stub takes over files, and returns their
// descriptors in the stub.
func (w *walk) receive(files []int, names []string) []*remote.FD {
	w.building.files = append(w.building.files, files)
	return w.building.ReceiveFiles(w.stub.Control(), names)
}

// rescue looks for a remedy if err is a failed call (stopped). It returns every
// other error, and nil, as it is. The remedy may need results and stop again.
func (w *walk) rescue(err error) error {
	var s *stopped
	for errors.As(err, &s) {
		err = w.remedy(&s.batch, s.call)
	}
	return err
}

// remedy handles a failed call. The steps before the failed one are done, and the
// later ones have not begun. If the slow path repairs the cause, remedy sets the
// walk back to the failed step.
//
// The calls of the failed step before the failed call have been executed, too.
// remedy closes the descriptors that they opened; the slow path takes care of
// their other effects.
func (w *walk) remedy(b *remote.Batch, ce *remote.CallError) error {
	it := w.items[ce.Tag]
	if w.retry.item != ce.Tag {
		w.retry.item, w.retry.count = ce.Tag, 0
	}
	if w.retry.count++; w.retry.count > maxRetries {
		return failed(it, ce)
	}
	reason := w.kernelLog(b, ce)
	w.at = ce.Tag
	again, err := w.slow(it, b, ce)
	if err != nil {
		return err
	}
	if !again {
		if reason != "" {
			return hint(it, ce, reason)
		}
		return failed(it, ce)
	}
	if err := w.closeAll(b.Opened(ce.Tag)); err != nil {
		return err
	}
	w.at = ce.Tag - 1
	return nil
}

// maxRetries bounds the repetitions of one step. While openat2(2) resolves "..",
// it fails with EAGAIN for a rename anywhere on the host. With 128 tries, 0.1 %
// of the walks fail under a rename storm on 16 cores.
const maxRetries = 128

// lost explains a timeout of the stub: it names the step that the walk had
// reached. It returns every other error as it is.
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

// closeAll has the stub close descriptors, for example of a step that will be
// repeated.
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

// ask has the stub execute a batch at once, outside the walk's order. It is for
// slow paths and for steps that have settled.
func (w *walk) ask(b *remote.Batch) error { return w.stub.Do(b) }

// kernelLog reads the kernel's message about a refused parameter from the file
// system context that the failed step has open (fsopen(2), "retrieving
// diagnostic messages").
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
	// "e message\n": the level and a space are cut off. Some file systems end
	// the message with white space.
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
