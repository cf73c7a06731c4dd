package main

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// parts is the number of parts of a load, so that the competitors can take turns.
const parts = 4

// crowd is a competitor with workers that are busy at the same time.
type crowd struct {
	*competitor
	workers []*competitor
}

// crowds makes workers for each competitor.
func crowds(able []*competitor, size int) ([]crowd, error) {
	all := make([]crowd, len(able))
	for i, c := range able {
		all[i].competitor = c
		for n := range size {
			w, err := c.worker(n)
			if err != nil {
				disperse(all)
				return nil, err
			}
			all[i].workers = append(all[i].workers, w)
		}
	}
	return all, nil
}

func disperse(all []crowd) {
	for _, c := range all {
		for _, w := range c.workers {
			w.lane.close()
		}
	}
}

// each calls do for the first workers at the same time.
func (c crowd) each(workers int, do func(*competitor) error) error {
	failed := make(chan error, workers)
	for _, w := range c.workers[:workers] {
		go func() { failed <- do(w) }()
	}
	var err error
	for range workers {
		if e := <-failed; err == nil {
			err = e
		}
	}
	return err
}

// load lets the first workers do n jobs between them. It returns the cost of each job, and the number of jobs a second.
func (c crowd) load(workers, n int, job func(*competitor) (usage, error)) ([]usage, float64, error) {
	costs := make([]usage, n)
	var next atomic.Int64
	began := time.Now()
	err := c.each(workers, func(w *competitor) error {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			used, err := job(w)
			if err != nil {
				return err
			}
			costs[i] = used
		}
		return nil
	})
	return costs, float64(n) / time.Since(began).Seconds(), err
}

// measureConcurrency runs the default bundle's container over and over, several at the same time.
func (f *field) measureConcurrency(s settings) error {
	able, err := f.stage(defaultBundle, "/bin/true")
	if err != nil {
		return err
	}
	all, err := crowds(able, slices.Max(s.concurrency))
	if err != nil {
		return err
	}
	defer disperse(all)
	if err := f.equip(all, "/bin/true"); err != nil {
		return err
	}
	for part := range parts {
		for _, workers := range s.concurrency {
			key := Key{Block: "concurrency", Bundle: defaultBundle, Mode: fmt.Sprint(workers), Name: "run"}
			for _, c := range shuffled(all, part) {
				if err := f.loaded(key, c, workers, s.runs, (*competitor).run); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// equip writes the workers' bundles.
func (f *field) equip(all []crowd, args ...string) error {
	for _, c := range all {
		for _, w := range c.workers {
			if err := f.give(w, defaultBundle, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// loaded measures one load and records it.
func (f *field) loaded(key Key, c crowd, workers, n int, job func(*competitor) (usage, error)) error {
	costs, rate, err := c.load(workers, max(n, workers), job)
	if err != nil {
		for _, w := range c.workers[:workers] {
			w.verb("delete", "--force", w.id)
		}
		return f.tolerate(c.competitor, err)
	}
	for _, used := range costs {
		f.result.used(key, c.name, used)
	}
	key.Metric = "rate"
	f.result.add(key, c.name, rate)
	runtime.GC()
	return nil
}

// measureExecLoop executes `true` over and over, in one container for each processor.
func (f *field) measureExecLoop(s settings) error {
	able, err := f.stage(defaultBundle, "/bin/sleep", "100000")
	if err != nil {
		return err
	}
	workers := runtime.NumCPU()
	all, err := crowds(able[1:], workers)
	if err != nil {
		return err
	}
	defer disperse(all)
	if err := f.equip(all, "/bin/sleep", "100000"); err != nil {
		return err
	}
	for _, c := range all {
		for _, w := range c.workers {
			pid, err := w.up()
			if err != nil {
				return err
			}
			defer w.down(pid)
		}
	}
	key := Key{Block: "exec loop", Bundle: defaultBundle, Mode: fmt.Sprint(workers), Name: "exec"}
	for part := range parts {
		for _, c := range shuffled(all, part) {
			if err := f.loaded(key, c, workers, s.runs, (*competitor).execTrue); err != nil {
				return err
			}
		}
	}
	return nil
}
