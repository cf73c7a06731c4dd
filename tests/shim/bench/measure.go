package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The names of the figures.
const (
	execWall   = "exec wall"       // ms of one ExecSync
	execCPU    = "exec cpu"        // ms of the shim and all that it waits for
	execEngine = "exec containerd" // ms of containerd
	runWall    = "run wall"        // ms of ctr run --rm
	podRate    = "pods"            // a second
	podPSS     = "pss"             // KiB of all shims
	podPrivate = "private"         // KiB of all shims
)

// turns calls do for every competitor. In each round another one is first.
func (e *engine) turns(round int, do func(*competitor) error) error {
	for i := range e.competitors {
		c := e.competitors[(i+round)%len(e.competitors)]
		if err := do(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// measureExec measures ExecSync. Each competitor has one pod. The shim of this pod does nothing else.
func measureExec(e *engine, r *Result) error {
	pods := map[*competitor]*pod{}
	shims := map[*competitor]int{}
	for _, c := range e.competitors {
		p, err := e.up(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		pods[c] = p
		if shims[c], err = shimOf(p.id); err != nil {
			return err
		}
	}
	const groups = 10
	each := max(1, number("BENCH_RUNS", 200)/groups)
	for g := range groups + 1 { // one more to warm up
		own, engine := map[*competitor]float64{}, map[*competitor]float64{}
		for _, c := range e.competitors {
			own[c] = -cpuOf(shims[c], true)
		}
		for n := range each {
			err := e.turns(n, func(c *competitor) error {
				before, began := cpuOf(e.daemon.Process.Pid, false), time.Now()
				if err := e.execTrue(pods[c]); err != nil {
					return err
				}
				if g > 0 {
					r.add(execWall, 0, c.name, ms(time.Since(began)))
				}
				time.Sleep(2 * time.Millisecond) // time for remaining work
				engine[c] += cpuOf(e.daemon.Process.Pid, false) - before
				return nil
			})
			if err != nil {
				return err
			}
		}
		for _, c := range e.competitors {
			own[c] += cpuOf(shims[c], true)
			if g > 0 {
				r.add(execCPU, 0, c.name, own[c]/float64(each))
				r.add(execEngine, 0, c.name, engine[c]/float64(each))
			}
		}
	}
	for _, p := range pods {
		if err := e.down(p); err != nil {
			return err
		}
	}
	return nil
}

// measureRun measures `ctr run --rm` of `true`.
func measureRun(e *engine, r *Result) error {
	for n := range number("BENCH_RUNS", 200)/10 + 1 {
		err := e.turns(n, func(c *competitor) error {
			args := []string{"run", "--rm", "--cgroup=" + e.cgroup + "/ctr"}
			if c.binary == "" {
				args = append(args, "--runtime=io.containerd.onggi.v1")
			} else {
				args = append(args, "--runtime=io.containerd.runc.v2", "--runc-binary="+c.binary)
			}
			cmd := e.ctr("default", append(args, image, fmt.Sprintf("r%d", e.serial.Add(1)), "true")...)
			began := time.Now()
			out, err := cmd.CombinedOutput()
			if n > 0 {
				r.add(runWall, 0, c.name, ms(time.Since(began)))
			}
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measureRate measures the number of pods started in a second, while eight start at the same time.
func measureRate(e *engine, r *Result) error {
	const atOnce, batch = 8, 16
	for n := range max(2, number("BENCH_RUNS", 200)/50) + 1 {
		err := e.turns(n, func(c *competitor) error {
			began := time.Now()
			pods, err := e.many(c, batch, atOnce)
			if n > 0 {
				r.add(podRate, 0, c.name, batch/time.Since(began).Seconds())
			}
			return errors.Join(err, e.clear(pods))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measureMemory measures the memory of all shims of a competitor together, with more and more pods.
func measureMemory(e *engine, r *Result) error {
	for _, c := range e.competitors {
		var pods []*pod
		for _, n := range []int{1, 10, number("BENCH_PODS", 100)} {
			more, err := e.many(c, n-len(pods), 4)
			pods = append(pods, more...)
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", c.name, err), e.clear(pods))
			}
			// Shims give memory back to the kernel when they are idle: onggi's once, containerd's every 30 s.
			time.Sleep(c.idle())
			shared, private, err := memory(c.shim)
			if err != nil {
				return err
			}
			r.add(podPSS, n, c.name, shared)
			r.add(podPrivate, n, c.name, private)
		}
		if err := e.clear(pods); err != nil {
			return err
		}
	}
	return nil
}

// idle returns the time after which the shim has given its unused memory back to the kernel.
func (c *competitor) idle() time.Duration {
	if c.binary == "" {
		return 5 * time.Second
	}
	return 35 * time.Second
}

// many starts n pods, atOnce of them at the same time. After an error it also returns the pods that have started.
func (e *engine) many(c *competitor, n, atOnce int) ([]*pod, error) {
	var mu sync.Mutex
	var pods []*pod
	var failed error
	err := share(n, atOnce, func() error {
		p, err := e.up(c)
		mu.Lock()
		defer mu.Unlock()
		if p != nil {
			pods = append(pods, p)
		}
		return err
	})
	return pods, errors.Join(failed, err)
}

func (e *engine) clear(pods []*pod) error {
	var mu sync.Mutex
	return share(len(pods), 4, func() error {
		mu.Lock()
		p := pods[0]
		pods = pods[1:]
		mu.Unlock()
		return e.down(p)
	})
}

// share calls do n times, with at most atOnce calls at the same time.
func share(n, atOnce int, do func() error) error {
	var wait sync.WaitGroup
	slots, failed := make(chan struct{}, atOnce), make([]error, n)
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			failed[i] = do()
			<-slots
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// shims returns the pids of the servers of the shim with this name.
func shims(name string) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if args := arguments(pid); filepath.Base(args[0]) == name && slices.Contains(args, "-id") {
			found = append(found, pid)
		}
	}
	return found
}

func arguments(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// shimOf finds the server of a pod.
func shimOf(id string) (int, error) {
	for _, name := range []string{"containerd-shim-runc-v2", "containerd-shim-onggi-v1"} {
		for _, pid := range shims(name) {
			if slices.Contains(arguments(pid), id) {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("pod %s has no shim", id)
}

// cpuOf returns the processor time of a process in milliseconds. With children, it adds that of all children for which
// the process has waited.
func cpuOf(pid int, children bool) float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	const utime, stime, cutime, cstime = 11, 12, 13, 14
	which := []int{utime, stime}
	if children {
		which = append(which, cutime, cstime)
	}
	ticks := 0.0
	for _, i := range which {
		if i < len(fields) {
			n, _ := strconv.ParseFloat(fields[i], 64)
			ticks += n
		}
	}
	const msPerTick = 10 // of /proc, on every Linux
	return ticks * msPerTick
}

// memory returns the memory of all servers of a shim in KiB. shared is PSS, which divides each page by the number of
// its users. private counts the pages that only one process has.
func memory(shim string) (shared, private float64, err error) {
	pids := shims(shim)
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			n, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "Pss:":
				shared += n
			case "Private_Clean:", "Private_Dirty:":
				private += n
			}
		}
	}
	if len(pids) == 0 {
		return 0, 0, fmt.Errorf("no %s runs", shim)
	}
	return shared, private, nil
}
