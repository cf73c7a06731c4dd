package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// warmUps is the number of rounds that do not count.
const warmUps = 3

// whole is the row of create, start and delete of one container together.
const whole = "create+start+delete"

// nothing is the row of a process that prints its version.
const nothing = "--version"

// measureLifecycle runs each verb of each bundle: back to back, and with a pause before each process.
//
// The kernel postpones work. It takes the namespaces and mounts of an ended container apart later, in the time of another
// process, and a call that waits for an RCU grace period waits longer if no other call has asked for one. Back to back
// shows a node that is busy with containers. The pause shows a node with a container now and then.
func (f *field) measureLifecycle(s settings) error {
	for _, bundle := range s.bundles {
		able, err := f.stage(bundle, "/bin/true")
		if err != nil {
			return err
		}
		if err := f.rounds(able, Key{Block: "lifecycle", Bundle: bundle, Mode: backToBack}, s.runs, 0); err != nil {
			return err
		}
		if s.pause == 0 {
			continue
		}
		mode := fmt.Sprintf("%v before each", s.pause)
		if err := f.rounds(able, Key{Block: "lifecycle", Bundle: bundle, Mode: mode}, s.pausedRuns, s.pause); err != nil {
			return err
		}
	}
	return nil
}

const backToBack = "back to back"

// rounds lets each competitor run, and go through a whole life, as often as runs says. The order of the competitors
// changes: each one waits for the kernel's clean-up after the one before, which must not always be the same.
func (f *field) rounds(able []*competitor, key Key, runs int, pause time.Duration) error {
	for n := range warmUps + runs {
		for _, c := range shuffled(able, n) {
			c.pause = pause
			record := func(name string, used usage) {
				if n >= warmUps {
					key.Name = name
					f.result.used(key, c.name, used)
				}
			}
			err := f.round(c, key.Bundle, record)
			c.pause = 0
			if err := f.tolerate(c, err); err != nil {
				return err
			}
		}
		runtime.GC()
	}
	return nil
}

// shuffled returns the list in a different order for each n, which is the same in each run of the program.
func shuffled[T any](all []T, n int) []T {
	mixed := make([]T, len(all))
	for i, from := range rand.New(rand.NewPCG(uint64(n), 0)).Perm(len(all)) {
		mixed[i] = all[from]
	}
	return mixed
}

// tolerate notes the failure of another competitor. A failure of onggi is an error.
func (f *field) tolerate(c *competitor, err error) error {
	if err == nil {
		return nil
	}
	if c.name == subject {
		return err
	}
	c.verb("delete", "--force", c.id)
	reapAll()
	f.note("a round without %s: %v", c.name, err)
	return nil
}

func (f *field) round(c *competitor, bundle string, record func(string, usage)) error {
	if err := f.give(c, bundle, "/bin/true"); err != nil {
		return err
	}
	used, err := c.run()
	if err != nil {
		return err
	}
	record("run", used)
	if c.floor {
		return nil
	}
	// A process that does nothing: every verb pays this before it begins.
	if used, err = c.verb("--version"); err != nil {
		return err
	}
	record(nothing, used)
	if err := f.give(c, bundle, "/bin/sleep", "100000"); err != nil {
		return err
	}
	return c.life(record)
}

// life calls create, start, state, exec, kill and, after the container's end has been collected, delete.
func (c *competitor) life(record func(string, usage)) error {
	create, pid, err := c.create()
	if err != nil {
		return err
	}
	record("create", create)
	total := create
	for _, step := range []struct {
		name string
		args []string
	}{
		{"start", []string{"start", c.id}},
		{"state", []string{"state", c.id}},
		{"exec", []string{"exec", c.id, "/bin/true"}},
		{"kill", []string{"kill", c.id, "KILL"}},
		{"delete", []string{"delete", c.id}},
	} {
		if step.name == "delete" {
			end, _, err := (process{pid: pid}).wait()
			if err != nil {
				return err
			}
			// The work of the container's process itself, set-up included. No verb has waited for it.
			end.wall = 0
			total = total.plus(end)
		}
		used, err := c.verb(step.args...)
		if err != nil {
			return err
		}
		record(step.name, used)
		if step.name == "start" || step.name == "delete" {
			total = total.plus(used)
		}
	}
	record(whole, total)
	return nil
}

// measureCold runs the bundles with a seccomp profile with an unused state directory, so that the filter has to be
// compiled.
func (f *field) measureCold(s settings) error {
	for _, bundle := range s.bundles {
		spec, err := loadBundle(bundle)
		if err != nil {
			return err
		}
		if spec.Linux.Seccomp == nil {
			continue
		}
		able, err := f.stage(bundle, "/bin/true")
		if err != nil {
			return err
		}
		for n := range warmUps + s.pausedRuns {
			for _, c := range shuffled(able, n) {
				warm, cold, err := c.coldRun()
				if err := f.tolerate(c, err); err != nil {
					return err
				}
				if n >= warmUps && err == nil {
					f.result.used(Key{Block: "cold", Bundle: bundle, Mode: "cold", Name: "run"}, c.name, cold)
					f.result.used(Key{Block: "cold", Bundle: bundle, Mode: "warm", Name: "run"}, c.name, warm)
				}
			}
		}
	}
	return nil
}

// coldRun runs the container with a new state directory, after a run with the usual one.
func (c *competitor) coldRun() (warm, cold usage, err error) {
	if warm, err = c.run(); err != nil {
		return warm, cold, err
	}
	fresh := *c
	fresh.root = filepath.Join(c.home, "fresh")
	cold, err = fresh.run()
	if err != nil {
		fresh.verb("delete", "--force", fresh.id)
	}
	os.RemoveAll(fresh.root)
	return warm, cold, err
}
