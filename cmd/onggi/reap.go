package main

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// Orphans are the processes that a container leaves to onggi, its subreaper.
// Containers that share the host's pid namespace do that; in others the first
// process inherits them.
type orphans struct {
	mu   sync.Mutex
	left bool
}

// adoptOrphans collects orphans as they end. The status of the container's
// first process is left alone: run waits for it.
func adoptOrphans(container *libcontainer.Container) *orphans {
	o := &orphans{}
	go func() {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, unix.SIGCHLD)
		for range ended {
			o.reap(container)
		}
	}()
	return o
}

// leave ends it: from here on a child may be one that somebody waits for.
func (o *orphans) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
}

// reap collects the orphans that have ended, as long as the container runs.
func (o *orphans) reap(container *libcontainer.Container) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.left {
		return
	}
	state, err := container.State()
	if err != nil || state.InitProcessPid == 0 {
		return
	}
	for {
		pid := endedChild()
		if pid == 0 || pid == state.InitProcessPid {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}
