package main

import (
	"context"
	"os"
	"runtime"

	"github.com/onggi-dev/onggi/libcontainer"
)

// passReady waits until the container says that it is ready and tells the
// service manager, where onggi was started by one ($NOTIFY_SOCKET). A manager
// that could not be told does not stop the container.
func passReady(ctx context.Context, c *call, container *libcontainer.Container, mainPid int) {
	if err := container.NotifyReady(ctx, mainPid); err != nil && ctx.Err() == nil {
		c.log.warn(oneLine(err))
	}
}

// passReadyMeanwhile is passReady beside a wait for the container: onggi is the
// service then. The function it returns ends it.
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
