package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lane is a thread with a mount namespace of its own. One competitor's processes start from it.
type lane struct {
	jobs      chan func()
	namespace int
}

// newLane starts the thread; enter runs on it, in the new namespace.
func newLane(enter func() error) (*lane, error) {
	return startLane(unix.CLONE_NEWNS, enter)
}

// twin starts a second thread in the same namespace.
func (l *lane) twin() (*lane, error) {
	return startLane(0, func() error { return unix.Setns(l.namespace, unix.CLONE_NEWNS) })
}

func startLane(namespaces int, enter func() error) (*lane, error) {
	l := &lane{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		// The thread is never unlocked: it has left the process's namespaces, so no other goroutine may use it.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS | namespaces); err != nil {
			ready <- err
			return
		}
		err := enter()
		if err == nil {
			l.namespace, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for job := range l.jobs {
			job()
		}
		unix.Close(l.namespace)
	}()
	return l, <-ready
}

// do runs a job on the lane's thread.
func (l *lane) do(job func()) {
	done := make(chan struct{})
	l.jobs <- func() {
		job()
		close(done)
	}
	<-done
}

// close ends the thread.
func (l *lane) close() { close(l.jobs) }

// usage is the cost of a process, with the children that it has waited for.
type usage struct {
	wall   float64 // milliseconds, from before the fork until the process has been collected
	cpu    float64 // milliseconds, user and system
	faults float64 // minor page faults, which read nothing from a disk
}

func (u usage) plus(v usage) usage { return usage{u.wall + v.wall, u.cpu + v.cpu, u.faults + v.faults} }

// process is a started process, with the time just before its fork.
type process struct {
	pid   int
	began time.Time
}

// start forks and executes. Go does this as posix_spawn does (CLONE_VM and CLONE_VFORK), so only the competitor is counted.
// Output goes to log.
func (l *lane) start(log *os.File, argv ...string) (process, error) {
	var p process
	var err error
	l.do(func() { p, err = spawn(log, false, argv) })
	return p, err
}

// spawn starts a process from the calling thread.
func spawn(log *os.File, traced bool, argv []string) (process, error) {
	p := process{began: time.Now()}
	var err error
	p.pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Files: []uintptr{0, log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: traced},
	})
	return p, err
}

// run runs a command to its end and returns its cost.
func (l *lane) run(log *os.File, argv ...string) (usage, error) {
	p, err := l.start(log, argv...)
	if err != nil {
		return usage{}, err
	}
	used, status, err := p.wait()
	if err == nil {
		err = failure(status)
	}
	return used, err
}

func failure(status syscall.WaitStatus) error {
	if status.Exited() && status.ExitStatus() == 0 {
		return nil
	}
	if status.Signaled() {
		return fmt.Errorf("killed by %v", status.Signal())
	}
	return fmt.Errorf("exit status %d", status.ExitStatus())
}

func (p process) wait() (usage, syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	var r syscall.Rusage
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, &r)
		if err == syscall.EINTR {
			continue
		}
		used := usage{
			wall:   time.Since(p.began).Seconds() * 1000,
			cpu:    float64(r.Utime.Nano()+r.Stime.Nano()) / 1e6,
			faults: float64(r.Minflt),
		}
		return used, status, err
	}
}
