package main

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// orphans are the processes that a container leaves to onggi, its subreaper. Only containers
// without a pid namespace of their own do that. In others the first process inherits the
// orphans.
type orphans struct {
	init int // the container's first process, for which run waits
	mu   sync.Mutex
	left bool
}

// adoptOrphans starts to reap orphans as they end.
func adoptOrphans(f *foreground, container *libcontainer.Container) (*orphans, error) {
	o := &orphans{init: container.Pid()}
	if container.OwnPids() {
		return o, nil
	}
	if err := f.watchChildren(o.reap); err != nil {
		return nil, err
	}
	o.reap() // those that have ended before
	return o, nil
}

// leave ends the reaping. From here on another part of onggi may wait for a child.
func (o *orphans) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
}

// reap reaps the orphans that have ended, as long as the container runs.
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
