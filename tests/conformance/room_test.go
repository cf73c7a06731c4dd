package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roomEnv marks the test binary as the first process of a room. Its value is a request in JSON.
const roomEnv = "ONGGI_CONFORMANCE_ROOM"

// patience bounds a program. The slowest needs half a minute, most of it in its own sleeps.
const patience = 2 * time.Minute

// request is the task of a room.
type request struct {
	Program string
	Runtime string
	Scratch string // becomes a file system of its own
	Cgroup  string // name of the room's cgroup, below this process's own
}

// report is the result of a room.
type report struct {
	Status int      // exit status, 128+n for a signal
	Left   []string // remains at the end
}

// outcome is a report with the program's output.
type outcome struct {
	report
	stdout, stderr string
}

var rooms atomic.Int64

// runInRoom runs a program of the suite. It sees no containers, cgroups, processes or mounts of other programs and runs. (Half
// of the suite uses the same cgroupsPath.)
func runInRoom(t *testing.T, program string) outcome {
	t.Helper()
	scratch := t.TempDir()
	r := request{
		Program: filepath.Join(env.programs, program), Runtime: env.runtime, Scratch: scratch,
		Cgroup: fmt.Sprintf("onggi-conformance-%d-%d", os.Getpid(), rooms.Add(1)),
	}
	hierarchies, err := findCgroups()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeRoom(t, hierarchies, r.Cgroup) })
	asked, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	files := make([]*os.File, 3)
	for i, name := range []string{"stdout", "stderr", "report"} {
		if files[i], err = os.Create(filepath.Join(t.TempDir(), name)); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = env.programs
	cmd.Env = append(os.Environ(), roomEnv+"="+string(asked), "TMPDIR="+scratch, "RUNTIME="+env.runtime)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = files[0], files[1], files[2:]
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL}
	runErr := cmd.Run()
	o := outcome{stdout: contents(t, files[0]), stderr: contents(t, files[1])}
	if err := json.Unmarshal([]byte(contents(t, files[2])), &o.report); err != nil {
		t.Fatalf("the room of %s did not report: %v, %v\n%s", program, runErr, err, o.stderr)
	}
	return o
}

func contents(t *testing.T, f *os.File) string {
	t.Helper()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// room is the first process of a room. It sets the room up, runs the program, and looks for leftovers.
func room(asked string) (err error) {
	var r request
	if err := json.Unmarshal([]byte(asked), &r); err != nil {
		return err
	}
	// A cgroup namespace belongs to a thread and its children.
	runtime.LockOSThread()
	hierarchies, err := furnish(r)
	if err != nil {
		return err
	}
	mounts := mountTable()
	status, err := runProgram(r)
	if err != nil {
		return err
	}
	left := deleteContainers(r.Runtime)
	left = append(left, waitForProcesses()...)
	if now := mountTable(); !slices.Equal(mounts, now) {
		left = append(left, fmt.Sprintf("mounts: %q before, %q after", mounts, now))
	}
	left = append(left, cgroupsLeft(hierarchies)...)
	data, err := json.Marshal(report{status, left})
	if err != nil {
		return err
	}
	_, err = os.NewFile(3, "report").Write(data)
	return err
}

func furnish(r request) ([]hierarchy, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	hierarchies, err := findCgroups()
	if err != nil {
		return nil, err
	}
	for _, h := range hierarchies {
		if err := h.enter(r.Cgroup); err != nil {
			return nil, err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return nil, err
	}
	for i := range hierarchies {
		if err := hierarchies[i].mountAgain(); err != nil {
			return nil, err
		}
	}
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"tmpfs", "/run"}, {"tmpfs", r.Scratch}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return nil, fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err)
		}
	}
	return hierarchies, nil
}

// runProgram runs the program and returns its exit status. It also reaps the orphans that become children of this
// process, which is process 1 of the room.
func runProgram(r request) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(r.Program, []string{r.Program}, &os.ProcAttr{Files: []*os.File{null, os.Stdout, os.Stderr}})
	if err != nil {
		return 0, err
	}
	timer := time.AfterFunc(patience, func() { _ = unix.Kill(p.Pid, unix.SIGKILL) })
	defer timer.Stop()
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case pid == p.Pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case pid == p.Pid:
			return ws.ExitStatus(), nil
		}
	}
}

// deleteContainers deletes the containers that the suite has left. A runtime that deletes a container must leave nothing of
// it.
func deleteContainers(runtime string) (left []string) {
	for _, path := range states() {
		if out, err := exec.Command(runtime, "delete", "--force", filepath.Base(path)).CombinedOutput(); err != nil {
			left = append(left, fmt.Sprintf("delete --force: %v: %s", err, out))
		}
	}
	for _, path := range states() {
		left = append(left, "state: "+path)
	}
	return left
}

// states returns the directories of containers. The room has its own /run.
func states() []string {
	all, _ := filepath.Glob("/run/*/*")
	return slices.DeleteFunc(all, func(p string) bool {
		return strings.HasPrefix(filepath.Base(p), "@") // caches, shared by containers
	})
}

// waitForProcesses waits a moment for killed processes.
func waitForProcesses() []string {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.ECHILD) {
			return nil
		}
		if time.Now().Before(deadline) {
			continue
		}
		var left []string
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range all {
			if text, _ := os.ReadFile(path); filepath.Dir(path) != "/proc/1" {
				left = append(left, fmt.Sprintf("process: %s %q", filepath.Dir(path), text))
			}
		}
		return left
	}
}

func mountTable() []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	return strings.Split(string(data), "\n")
}
