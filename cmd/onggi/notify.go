package main

import (
	"context"
	"os"
	"runtime"

	"github.com/onggi-dev/onggi/libcontainer"
)

// passReady waits until the container says that it is ready, and tells the service manager that
// has started onggi ($NOTIFY_SOCKET). If that fails, there is a warning, and the container goes
// on.
func passReady(ctx context.Context, c *call, container *libcontainer.Container, mainPid int) {
	if err := container.NotifyReady(ctx, mainPid); err != nil && ctx.Err() == nil {
		c.log.warn(oneLine(err))
	}
}

// passReadyMeanwhile runs passReady during the wait for the container. onggi is the main process
// of the service then. The returned function ends passReady.
func passReadyMeanwhile(c *call, container *libcontainer.Container) func() {
	if !container.HasNotify() {
		return func() {}
	}
	runtime.GOMAXPROCS(busyProcs)
	ctx, stop := context.WithCancel(c.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		passReady(ctx, c, container, os.Getpid())
	}()
	return func() {
		stop()
		<-done
	}
}
