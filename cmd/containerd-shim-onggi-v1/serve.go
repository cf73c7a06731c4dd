package main

import (
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/metrics"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/publish"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/task"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/watch"
)

// Settings of Go's garbage collector for a process that is idle most of the time.
const (
	gcPercent   = 25
	memoryLimit = 64 << 20 // soft, in bytes
	// freeAfter is the time after the last call at which unused memory returns to the kernel.
	freeAfter = 2 * time.Second
)

// serve is the server of one pod. It runs in the bundle of the pod's first container.
func serve(f flags) error {
	// The Go runtime has read it. Loggers and helpers for mounts, which inherit the environment, may need more processors.
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	// A client that disconnects must not end the server: its write then fails with EPIPE.
	signal.Ignore(unix.SIGPIPE, unix.SIGHUP)
	if err := scheduleTogether(); err != nil {
		return err
	}
	log, err := newLogger(f.id)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(listenerFd, true); err != nil {
		return os.NewSyscallError("fcntl(3): the server is started by start", err)
	}
	unix.CloseOnExec(listenerFd)
	path, err := socketPath()
	if err != nil {
		return err
	}
	listener := os.NewFile(listenerFd, path)
	set, err := watch.New()
	if err != nil {
		return err
	}
	// Once, because a later server of the pod can have a socket at the same path.
	unlisten := sync.OnceFunc(func() {
		if err := os.Remove(path); err != nil {
			log.warn(err.Error())
		}
	})
	publisher := publish.New(os.Getenv("TTRPC_ADDRESS"), f.namespace, log.warn)
	group := task.New(f.namespace, publisher, set, metrics.IsUnified(), log.warn, unlisten)
	life := newLife(group)
	server := &ttrpc.Server{Log: log.warn, Idle: life.idle, Busy: life.busy, Handle: func(c *ttrpc.Call) {
		if f.debug {
			log.write("debug", c.Service+"."+c.Method)
		}
		group.Handle(c)
		life.called()
	}}
	go func() {
		if err := server.Serve(listener); err != nil {
			log.warn("accept: " + err.Error())
		}
	}()
	life.idle()
	<-life.over
	unlisten()
	listener.Close()
	publisher.Flush(10 * time.Second)
	return nil
}

// socketPath returns the path of the listening socket.
func socketPath() (string, error) {
	name, err := unix.Getsockname(listenerFd)
	if err != nil {
		return "", os.NewSyscallError("getsockname(3): the server is started by start", err)
	}
	if unixName, ok := name.(*unix.SockaddrUnix); ok {
		return unixName.Name, nil
	}
	return "", os.NewSyscallError("getsockname(3)", unix.EAFNOSUPPORT)
}

// scheduleTogether gives the pod a core scheduling cookie if $SCHED_CORE asks for it.
func scheduleTogether() error {
	if os.Getenv("SCHED_CORE") == "" {
		return nil
	}
	const threadGroup = 1 // PIDTYPE_TGID
	return os.NewSyscallError("prctl(PR_SCHED_CORE)", unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, 0, threadGroup, 0))
}

// lonelyTime bounds the time in which a server has neither tasks nor connections. containerd
// may die between the start of the server and its first call.
const lonelyTime = 30 * time.Second

// life decides when the server ends, and when it returns memory to the kernel.
type life struct {
	group *task.Group
	over  chan struct{}
	once  sync.Once

	mu     sync.Mutex
	lonely *time.Timer
	free   *time.Timer
}

func newLife(group *task.Group) *life {
	l := &life{group: group, over: make(chan struct{})}
	l.free = time.AfterFunc(freeAfter, debug.FreeOSMemory)
	go func() {
		<-group.Over()
		// Leave time to send the answer to Shutdown.
		<-time.After(100 * time.Millisecond)
		l.end()
	}()
	return l
}

func (l *life) end() { l.once.Do(func() { close(l.over) }) }

// idle starts the lonely time: the last client has disconnected.
func (l *life) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lonely = time.AfterFunc(lonelyTime, func() {
		if l.group.IsEmpty() {
			l.end()
		}
	})
}

func (l *life) busy() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lonely != nil {
		l.lonely.Stop()
	}
}

// called restarts the time until free: a call has been answered.
func (l *life) called() { l.free.Reset(freeAfter) }
