// Command bench measures containerd with onggi's shim, and with containerd's shim of runc, which runs runc, crun or
// onggi. It is the part of `make bench-shim` that needs containerd's modules. It prints its samples as JSON.
// tests/bench makes the tables and pictures of them.
//
// The environment has the paths ONGGI, SHIM, RUNC and CRUN ("none" leaves one out). BENCH_RUNS and BENCH_PODS are
// numbers, and BENCH_ITEMS selects measurements.
//
// The program starts a containerd of its own in new namespaces, with its files on a tmpfs. The competitors take turns.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stageEnv tells the three runs of this program apart: "" is the one that a user starts, "init" is the first process in
// the new namespaces, and "bench" is that process's child.
const stageEnv = "ONGGI_BENCH_SHIM_STAGE"

func main() {
	var err error
	switch os.Getenv(stageEnv) {
	case "":
		err = outside()
	case "init":
		err = first()
	default:
		err = inside()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench of the shim:", err)
		os.Exit(1)
	}
}

// outside runs this program again in new namespaces, and removes the cgroups afterwards.
func outside() error {
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	cgroup := fmt.Sprintf("onggi-bench-shim-%d", os.Getpid())
	defer removeCgroups(cgroup)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stageEnv+"=init", "ONGGI_BENCH_CGROUP=/"+cgroup)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	return cmd.Run()
}

// removeCgroups removes a cgroup and those below it in all hierarchies. Processes that end may keep one for a moment.
func removeCgroups(name string) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, root := range append(roots, "/sys/fs/cgroup/"+name) {
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			var dirs []string
			_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := range dirs {
				os.Remove(dirs[len(dirs)-1-i])
			}
			if len(dirs) == 0 {
				break
			}
		}
	}
}

// first is process 1 of the pid namespace: it starts the measurements, and reaps all orphans.
func first() error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stageEnv+"=bench")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return err
		case pid == cmd.Process.Pid && status != 0:
			return fmt.Errorf("exit status %d, signal %d", status.ExitStatus(), status.Signal())
		case pid == cmd.Process.Pid:
			return nil
		}
	}
}

// inside prepares the mount namespace, takes the measurements, and prints the result.
func inside() error {
	const dir = "/run/bench"
	must := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"),
		os.MkdirAll(filepath.Join(dir, "bin"), 0o755),
	)
	if must != nil {
		return must
	}
	// crun refuses a v2 hierarchy beside those of v1.
	if err := unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return err
	}
	e, err := newEngine(dir, os.Getenv("ONGGI_BENCH_CGROUP"))
	if err != nil {
		return err
	}
	defer e.stop()
	r := &Result{Containerd: e.version(), LoadBefore: loadAverage()}
	for _, c := range e.competitors {
		r.Competitors = append(r.Competitors, c.name)
	}
	for _, item := range []struct {
		name string
		do   func(*engine, *Result) error
	}{{"exec", measureExec}, {"run", measureRun}, {"rate", measureRate}, {"memory", measureMemory}} {
		if only := os.Getenv("BENCH_ITEMS"); only != "" && !strings.Contains(only, item.name) {
			continue
		}
		began := time.Now()
		if err := item.do(e, r); err != nil {
			return fmt.Errorf("%s: %w", item.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench of the shim: %s took %.0f s\n", item.name, time.Since(began).Seconds())
	}
	r.LoadAfter = loadAverage()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// Result has the samples of all measurements.
type Result struct {
	Containerd            string
	Competitors           []string
	LoadBefore, LoadAfter float64
	Rows                  []*Row
}

// Row has the samples of one figure for each competitor.
type Row struct {
	Name    string
	X       int // the number of pods; 0 if the figure does not depend on it
	Samples map[string][]float64
}

func (r *Result) add(name string, x int, competitor string, values ...float64) {
	for _, row := range r.Rows {
		if row.Name == name && row.X == x {
			row.Samples[competitor] = append(row.Samples[competitor], values...)
			return
		}
	}
	r.Rows = append(r.Rows, &Row{name, x, map[string][]float64{competitor: values}})
}

// number returns a setting of the environment, or otherwise.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

func loadAverage() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}
