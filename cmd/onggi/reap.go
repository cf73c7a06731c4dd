package main

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// Orphans are the processes that a container leaves to onggi, its subreaper.
// Only containers that share the host's pid namespace do that; in others the
// first process inherits them.
type orphans struct {
	init int // the container's first process: run waits for it
	mu   sync.Mutex
	left bool
}

// adoptOrphans collects orphans as they end.
func adoptOrphans(f *foreground, container *libcontainer.Container) (*orphans, error) {
	o := &orphans{init: container.Pid()}
	if container.OwnPids() {
		return o, nil
	}
	if err := f.watchChildren(o.reap); err != nil {
		return nil, err
	}
	o.reap() // what ended before
	return o, nil
}

// leave ends it: from here on a child may be one that somebody waits for.
func (o *orphans) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
}

// reap collects the orphans that have ended, as long as the container runs.
func (o *orphans) reap() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.left {
		pid := endedChild()
		if pid == 0 || pid == o.init {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}
