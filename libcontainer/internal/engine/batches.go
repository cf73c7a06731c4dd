package engine

import (
	"errors"
	"os"

	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// batches sends the calls of the steps to the stub.
type batches struct {
	stubs
	building *flight  // the batch to which steps add calls; the pointer never changes
	inflight []flight // sent batches whose results are not back yet
	caution  int      // how many times the size of a full batch is halved
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

// stopped is the error of a step that waited for results and found a failed call: a
// call of its own or of an earlier step. The walk then looks for a remedy (rescue).
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

// enterFirst joins namespaces of the container's first process.
func (bs *batches) enterFirst(flags uint64) {
	if flags != 0 {
		bs.building.Setns(remote.Inherited(bs.layout.enter, "the container's first process"), flags)
	}
}

// full reports whether the batch is large enough to be sent. The limit leaves
// room in the stub's arena for one more step; the largest steps contain several
// long paths.
//
// After a failed step the next steps are likely to fail too, for example for
// missing mountpoints. The work on the batch behind a failure is lost. So each
// failure halves the limit (caution), and each success doubles it again.
func (bs *batches) full() bool { return bs.building.Size() > maxBatch>>bs.caution }

// overfull reports whether a single step has used the room that full leaves.
func (bs *batches) overfull() bool { return bs.building.Size() > maxBatch+maxBatch/2 }

const (
	maxBatch   = 64 << 10
	maxCaution = 7 // 512 bytes: one step or two
)

// expect reserves memory for the remaining steps, or for a full batch.
func (bs *batches) expect() {
	const ofStep, ofData = 10, 24 // calls of a step (the average and a margin), bytes of data of a call
	bs.building.Expect(min(ofStep*(len(bs.items)-bs.at), maxBatch/(remote.CallSize+ofData)))
}

// later registers look, which is called once the results of the batch are there. look
// is not called if the present step or an earlier one fails.
func (bs *batches) later(look func() error) {
	bs.building.pending = append(bs.building.pending, pending{bs.at, look})
}

// cut collects earlier results and sends the batch. The walk goes on building
// the next batch while the stub executes this one.
func (bs *batches) cut() error {
	if err := bs.collect(); err != nil {
		return err
	}
	return bs.send()
}

// send sends the batch without collecting earlier results first.
func (bs *batches) send() error {
	if bs.building.Len() == 0 {
		return bs.launch()
	}
	f, more := *bs.building, bs.full()
	*bs.building = flight{Batch: f.Next()}
	bs.building.Tag(bs.at)
	if more {
		bs.expect()
	}
	if err := bs.give(f); err != nil {
		return err
	}
	bs.inflight = append(bs.inflight, f)
	return bs.launch()
}

// give sends the stub a batch and its files. A batch that is sent while another one is
// in flight is marked: the stub drops it if the one before it fails.
func (bs *batches) give(f flight) error {
	var err error
	if n := len(bs.inflight); n == 0 {
		err = bs.stub.Send(&f.Batch)
	} else {
		err = bs.stub.SendBehind(&f.Batch, &bs.inflight[n-1].Batch)
	}
	if err != nil {
		if large := (*remote.SizeError)(nil); errors.As(err, &large) {
			return failed(bs.items[large.Tag], err)
		}
		return bs.lost(bs.forkless(err))
	}
	for _, files := range f.files {
		if err := bs.stub.SendFiles(&f.Batch, files); err != nil {
			return bs.lost(err)
		}
	}
	return nil
}

// canFollow reports whether the batch may be sent before the results of the
// previous one are known. At most one batch may be in flight. No check may wait
// for its results, no fork may be in progress, and the new batch must not use a
// descriptor that the previous one opens: its number is not known yet.
func (bs *batches) canFollow() bool {
	return len(bs.inflight) == 1 && len(bs.inflight[0].pending) == 0 && bs.forking == nil && bs.building.CanFollow(&bs.inflight[0].Batch)
}

// forkless returns the error of the fork if sending failed because the fork has
// created no stub; otherwise it returns err.
func (bs *batches) forkless(err error) error {
	if e := bs.finishFork(); e != nil {
		return e
	}
	return err
}

// settle has the stub execute the batch, and waits for all results. After a failed
// call it returns a *stopped, which the step returns to the walk.
func (bs *batches) settle() error {
	if err := bs.submit(); err != nil {
		return err
	}
	return bs.collect()
}

// submit sends the batch. Afterwards no fork is in progress.
func (bs *batches) submit() error {
	if !bs.canFollow() {
		if err := bs.collect(); err != nil {
			return err
		}
	}
	if err := bs.send(); err != nil {
		return err
	}
	return bs.finishFork()
}

// collect receives the results of the batches in flight, in order. It stops at
// a failure. No later batch is ever executed then: the stub drops a batch that
// is marked as behind the failed one, and results discards those here.
func (bs *batches) collect() error {
	for len(bs.inflight) > 0 {
		f := bs.inflight[0]
		bs.inflight = bs.inflight[1:]
		if err := bs.results(f); err != nil {
			return err
		}
	}
	return nil
}

func (bs *batches) results(f flight) error {
	if err := bs.finishFork(); err != nil {
		return err
	}
	failure := bs.stub.Receive(&f.Batch)
	done := len(bs.items)
	ce := (*remote.CallError)(nil)
	if errors.As(failure, &ce) {
		done = ce.Tag
	} else if failure != nil {
		closeFiles(f.Files())
		return bs.lost(failure)
	}
	for _, p := range f.pending {
		if p.item < done {
			if err := p.look(); err != nil {
				return failed(bs.items[p.item], err)
			}
		}
	}
	if ce == nil {
		bs.caution = max(0, bs.caution-1)
		return nil
	}
	closeFiles(f.Files()) // the failed step will send new ones when it is repeated
	bs.caution = min(maxCaution, bs.caution+1)
	bs.discard()
	return &stopped{f.Batch, ce}
}

// discard drops the batches behind a failed one, and the batch under construction.
func (bs *batches) discard() {
	for _, behind := range bs.inflight {
		behind.Discard()
	}
	bs.building.Discard()
	bs.inflight, *bs.building = nil, flight{}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// receive adds the calls by which the stub takes over files, and returns their
// descriptors in the stub.
func (bs *batches) receive(files []int, names []string) []*remote.FD {
	bs.building.files = append(bs.building.files, files)
	return bs.building.ReceiveFiles(bs.stub.Control(), names)
}
