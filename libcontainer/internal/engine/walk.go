package engine

import (
	"context"
	"errors"
	"strings"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// walk takes the steps of a plan. It owns the order of the steps and the retries.
// The rooms own everything else: each has the state of one subject and adds its
// calls to the same batch.
type walk struct {
	*batches
	retry struct{ item, count int }

	limits     limits
	launcher   launcher
	namespaces namespaces
	sources    sources
	files      files
	program    program
	visit      *visit // set in a running container, otherwise nil
}

// files are the rooms that work on the container's file system.
type files struct {
	rootfs
	points   mountpoints
	mounts   mounts
	binds    binds
	devices  devices
	masks    masks
	procfs   procfs
	terminal terminal
}

func newWalk(ctx context.Context, p *plan.Plan, job *Job) *walk {
	return furnish(&batches{stubs: newStubs(ctx, p.Items, job), building: &flight{}})
}

// newVisit is newWalk for a container that runs. The walk stops at the end of
// until; ctx ends later.
func newVisit(ctx, until context.Context, p *plan.Plan, job *Job) *walk {
	w := newWalk(ctx, p, job)
	w.until = until
	w.visit = &visit{batches: w.batches, sources: &w.sources}
	w.files.visit = w.visit
	return w
}

// furnish creates the rooms.
func furnish(b *batches) *walk {
	w := &walk{batches: b, limits: limits{batches: b}, namespaces: namespaces{batches: b}}
	w.launcher = launcher{batches: b, limits: &w.limits}
	w.sources = newSources(b)
	f := &w.files
	f.rootfs = rootfs{batches: b, sources: &w.sources, limits: &w.limits, kept: map[string]*remote.FD{}}
	root := &f.rootfs
	f.points = mountpoints{rootfs: root, made: map[int]bool{}}
	f.procfs = procfs{rootfs: root, namespaces: &w.namespaces}
	f.mounts = mounts{rootfs: root, points: &f.points, procfs: &f.procfs}
	f.devices = devices{rootfs: root, points: &f.points}
	f.binds = binds{rootfs: root, points: &f.points, devices: &f.devices}
	f.masks = masks{rootfs: root}
	f.terminal = terminal{rootfs: root, points: &f.points}
	w.program = newProgram(root, &f.points, &w.limits)
	return w
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
	w.sources.slow.opener.dismiss()
	if err := w.sources.callMeanwhile(); err != nil { // no step gave an opportunity before
		return nil, failed(plan.Item{}, err)
	}
	return w.program.lastBatch()
}

// steps takes one step after the other. It stops at the first step of the last
// batch, or at the end of a plan without a program.
//
// It flushes before each step of the runtime side: all steps before that one
// have to be done. After a failed call, rescue may set w.at back to repeat a step.
func (w *walk) steps() (program bool, err error) {
	for w.at = 0; ; w.at++ {
		if w.until.Err() != nil {
			return false, context.Cause(w.until)
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

// take calls step and records it in the trace, if there is one.
func (w *walk) take(it plan.Item) error {
	if w.job.Trace == nil {
		return w.step(it.Step)
	}
	span := w.job.Trace.BeginStep(it.Step, it.Field)
	err := w.step(it.Step)
	if isStopped(err) {
		span.End()
	} else {
		span.EndWith(err)
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
		w.program.fetchFilter()
	}
	return w.collect()
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
