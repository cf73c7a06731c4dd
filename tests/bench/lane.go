package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lane is a thread with a mount namespace of its own, from which one competitor's processes are started.
type lane struct{ jobs chan func() }

// newLane starts the thread; enter runs on it, in the new namespace.
func newLane(enter func() error) (*lane, error) {
	l := &lane{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: a thread that has left the process's namespaces is of no use to anybody else.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			ready <- err
			return
		}
		ready <- enter()
		for job := range l.jobs {
			job()
		}
	}()
	return l, <-ready
}

// process is a started process and the moment before its fork.
type process struct {
	pid   int
	began time.Time
}

// start forks and executes; Go does this as posix_spawn does (CLONE_VM and CLONE_VFORK), so what is counted is the
// competitor. Output goes to log.
func (l *lane) start(log *os.File, argv ...string) (process, error) {
	attr := &syscall.ProcAttr{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Files: []uintptr{0, log.Fd(), log.Fd()}}
	var p process
	var err error
	done := make(chan struct{})
	l.jobs <- func() {
		p.began = time.Now()
		p.pid, err = syscall.ForkExec(argv[0], argv, attr)
		close(done)
	}
	<-done
	return p, err
}

// time runs a command to its end and says how long it took.
func (l *lane) time(log *os.File, argv ...string) (time.Duration, error) {
	p, err := l.start(log, argv...)
	if err != nil {
		return 0, err
	}
	took, status, err := p.wait()
	if err == nil && status.ExitStatus() != 0 {
		err = fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return took, err
}

func (p process) wait() (time.Duration, syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if err != syscall.EINTR {
			return time.Since(p.began), status, err
		}
	}
}
