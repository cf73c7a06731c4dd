package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
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

// loadCost is the cost of a load: the cost of each job, the number of jobs a second, and the processor time of the
// machine for each job, in milliseconds. The machine's time includes the work of the kernel's own threads, and of
// processes for which nobody has waited.
type loadCost struct {
	jobs          []usage
	rate, machine float64
}

// load lets the first workers do n jobs between them. rest is the processor time, in milliseconds a second, that the machine
// takes for other work.
func (c crowd) load(workers, n int, rest float64, job func(*competitor) (usage, error)) (loadCost, error) {
	costs := make([]usage, n)
	var next atomic.Int64
	before, err := busy()
	if err != nil {
		return loadCost{}, err
	}
	began := time.Now()
	err = c.each(workers, func(w *competitor) error {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			used, err := job(w)
			if err != nil {
				return err
			}
			costs[i] = used
		}
		return nil
	})
	seconds := time.Since(began).Seconds()
	after, e := busy()
	return loadCost{costs, float64(n) / seconds, max(0, after-before-rest*seconds) / float64(n)}, errors.Join(err, e)
}

// loadVerb is a job of a load.
type loadVerb struct {
	name string
	args []string // the command in the bundle
	up   bool     // a container runs in each worker
	do   func(*competitor) (usage, error)
}

var loadVerbs = []loadVerb{
	{"run", []string{"/bin/true"}, false, (*competitor).run},
	{whole, []string{"/bin/true"}, false, (*competitor).shortLife},
	{"exec", []string{"/bin/sleep", "100000"}, true, (*competitor).execTrue},
}

// The places of the state, as parts of a mode.
const (
	onTmpfs = ""
	onDisk  = ", state on a disk"
)

// measureConcurrency does each job over and over, several at the same time, with the default bundle.
func (f *field) measureConcurrency(s settings) error {
	able, err := f.stage(defaultBundle, "/bin/true")
	if err != nil {
		return err
	}
	rest, err := f.rest()
	if err != nil {
		return err
	}
	for _, place := range []string{onTmpfs, onDisk} {
		if err := f.concurrentAt(s, able, place, rest); err != nil {
			return err
		}
	}
	return nil
}

// concurrentAt measures with the state at one place.
func (f *field) concurrentAt(s settings, able []*competitor, place string, rest float64) error {
	all, err := crowds(able, slices.Max(s.concurrency))
	if err != nil {
		return err
	}
	defer disperse(all)
	if place == onDisk {
		dir, err := os.MkdirTemp("/var/tmp", "onggi-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		for _, c := range all {
			for _, w := range c.workers {
				w.root = filepath.Join(dir, c.name)
			}
		}
	}
	for _, verb := range loadVerbs {
		if err := f.concurrent(s, all, verb, place, rest); err != nil {
			return err
		}
	}
	return nil
}

// concurrent measures one verb. The floor can only run.
func (f *field) concurrent(s settings, all []crowd, verb loadVerb, place string, rest float64) error {
	if verb.name != "run" {
		all = slices.DeleteFunc(slices.Clone(all), func(c crowd) bool { return c.floor })
	}
	if err := f.equip(all, verb.args...); err != nil {
		return err
	}
	if verb.up {
		down, err := upAll(all)
		defer down()
		if err != nil {
			return err
		}
	}
	for part := range parts {
		for _, workers := range s.concurrency {
			key := Key{Block: "concurrency", Bundle: defaultBundle, Mode: fmt.Sprint(workers) + place, Name: verb.name}
			for _, c := range shuffled(all, part) {
				if err := f.loaded(key, c, workers, s.runs, rest, verb.do); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// upAll starts a container for each worker. down ends those that have started.
func upAll(all []crowd) (down func(), err error) {
	var ends []func()
	down = func() {
		for _, end := range ends {
			end()
		}
	}
	for _, c := range all {
		for _, w := range c.workers {
			pid, err := w.up()
			if err != nil {
				return down, err
			}
			ends = append(ends, func() { _ = w.down(pid) })
		}
	}
	return down, nil
}

// shortLife creates and starts a container, waits for its end, and deletes it.
func (c *competitor) shortLife() (usage, error) {
	total, pid, err := c.create()
	if err != nil {
		return total, err
	}
	started, err := c.start()
	if err != nil {
		return total, err
	}
	end, _, err := (process{pid: pid}).wait()
	if err != nil {
		return total, err
	}
	end.wall = 0 // the container's own process, for which no verb has waited
	deleted, err := c.verb("delete", c.id)
	return total.plus(started).plus(end).plus(deleted), err
}

// rest returns the processor time, in milliseconds a second, that the machine uses without a measurement. It refuses a busy
// machine: the other work would distort the figures.
func (f *field) rest() (float64, error) {
	const most = 100 // a tenth of one processor
	before, err := busy()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	<-time.After(time.Second)
	after, err := busy()
	if err != nil {
		return 0, err
	}
	rest := (after - before) / time.Since(began).Seconds()
	if rest > most && setting("BENCH_BUSY", "") == "" {
		return 0, fmt.Errorf("other work takes %.0f ms a second of the processors: end it, or set BENCH_BUSY=1", rest)
	}
	if rest > most {
		f.note("other work takes %.0f ms a second of the processors", rest)
	}
	return rest, nil
}

// busy returns the processor time that the machine has spent on work since its start, in milliseconds.
func busy() (float64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busyTime(string(data))
}

// busyTime adds the columns of the first line of /proc/stat (proc_stat(5)) that are work: user, nice, system, irq and
// softirq. A column counts hundredths of a second.
func busyTime(stat string) (float64, error) {
	const tick = 10 // milliseconds: USER_HZ is 100 everywhere
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	total := 0.0
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, err
		}
		total += n * tick
	}
	return total, nil
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
func (f *field) loaded(key Key, c crowd, workers, n int, rest float64, job func(*competitor) (usage, error)) error {
	cost, err := c.load(workers, max(n, workers), rest, job)
	if err != nil {
		for _, w := range c.workers[:workers] {
			w.verb("delete", "--force", w.id)
		}
		return f.tolerate(c.competitor, err)
	}
	for _, used := range cost.jobs {
		f.result.used(key, c.name, used)
	}
	key.Metric = "rate"
	f.result.add(key, c.name, cost.rate)
	key.Metric = "machine"
	f.result.add(key, c.name, cost.machine)
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
			if err := f.loaded(key, c, workers, s.runs, 0, (*competitor).execTrue); err != nil {
				return err
			}
		}
	}
	return nil
}
