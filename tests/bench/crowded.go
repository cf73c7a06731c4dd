package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// crowding is a competitor with live containers of its own.
type crowding struct {
	crowd
	target int // process of the container for exec
	mu     sync.Mutex
	live   []livingContainer
}

type livingContainer struct {
	*competitor
	pid int
}

// measureCrowded measures run, exec and list while more and more other containers of the same runtime are alive.
func (f *field) measureCrowded(s settings) error {
	able, err := f.stage(defaultBundle, "/bin/true")
	if err != nil {
		return err
	}
	all, err := crowds(able, runtime.NumCPU()+1) // the last one has the container for exec
	if err != nil {
		return err
	}
	defer disperse(all)
	var crowdings []*crowding
	defer func() {
		for _, c := range crowdings {
			c.clear()
		}
	}()
	for _, c := range all {
		if c.floor {
			continue
		}
		target := c.workers[len(c.workers)-1]
		if err := f.give(target, defaultBundle, "/bin/sleep", "100000"); err != nil {
			return err
		}
		pid, err := target.up()
		if err != nil {
			return err
		}
		crowdings = append(crowdings, &crowding{crowd: c, target: pid})
	}
	curves := []*Curve{
		{Name: "containers-run", Title: "run, beside other containers", Axis: "containers alive, of the same runtime", Per: "container"},
		{Name: "containers-exec", Title: "exec, beside other containers", Axis: "containers alive, of the same runtime", Per: "container"},
		{Name: "containers-list", Title: "list", Axis: "containers alive, of the same runtime", Per: "container"},
	}
	for _, alive := range s.alive {
		if err := f.crowdedRounds(crowdings, curves, alive, s.curveRuns); err != nil {
			return err
		}
	}
	for _, c := range curves {
		f.result.Curves = append(f.result.Curves, *c)
	}
	return nil
}

// runcAlive is the largest number of containers for runc, which is slow.
const runcAlive = 100

// crowdedRounds gives each competitor that many live containers, and measures.
func (f *field) crowdedRounds(all []*crowding, curves []*Curve, alive, runs int) error {
	var taking []*crowding
	for _, c := range all {
		if c.name == "runc" && alive > runcAlive {
			continue
		}
		if err := c.fill(f, alive); err != nil {
			if c.name == subject {
				return err
			}
			f.note("%s: no more than %d containers: %v", c.name, len(c.live), err)
			continue
		}
		taking = append(taking, c)
	}
	for n := range 1 + runs { // one more to warm up
		for _, c := range shuffled(taking, n) {
			for i, job := range []func() (usage, error){
				c.run,
				c.workers[len(c.workers)-1].execTrue,
				func() (usage, error) { return c.verb("list", "--quiet") },
			} {
				used, err := job()
				if err := f.tolerate(c.competitor, err); err != nil {
					return err
				}
				if n > 0 && err == nil {
					curves[i].add(alive, c.name, used.wall)
				}
			}
		}
		runtime.GC()
	}
	return nil
}

// fill starts containers until that many are alive.
func (c *crowding) fill(f *field, alive int) error {
	return c.share(alive-len(c.live), func(w *competitor, n int) error {
		own := *w
		own.id = fmt.Sprintf("live-%s-%d", w.id, n)
		own.cgroup = fmt.Sprintf("%s-live-%d", w.cgroup, n)
		if err := f.give(&own, defaultBundle, "/bin/sleep", "100000"); err != nil {
			return err
		}
		pid, err := own.up()
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.live = append(c.live, livingContainer{&own, pid})
		return nil
	})
}

// clear kills and removes all of them.
func (c *crowding) clear() error {
	live := c.live
	c.live = nil
	err := c.share(len(live), func(w *competitor, n int) error {
		gone := live[n]
		own := *gone.competitor
		own.lane = w.lane
		return own.down(gone.pid)
	})
	return errors.Join(err, c.workers[len(c.workers)-1].down(c.target))
}

// share divides n jobs between all workers but the last. The numbers of the jobs continue after those of the live
// containers.
func (c *crowding) share(n int, job func(w *competitor, n int) error) error {
	first, workers := len(c.live), len(c.workers)-1
	var next sync.Mutex
	taken := 0
	return c.each(workers, func(w *competitor) error {
		for {
			next.Lock()
			i := taken
			taken++
			next.Unlock()
			if i >= n {
				return nil
			}
			if err := job(w, first+i); err != nil {
				return err
			}
		}
	})
}
