// Package bounded makes system calls that may never return.
//
// A volume or a root file system may be on a file system that does not answer. A
// thread that waits for it ends only with its process. The one rule here: nobody
// waits for such a thread.
package bounded

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
)

// Do calls f and returns its result, or the cause of the end of ctx if that comes
// first. In the second case f is abandoned. If f succeeds later, undo gets its
// result. undo may be nil.
func Do[T any](ctx context.Context, f func() (T, error), undo func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer deaf()()
		v, err := guarded(f)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil && undo != nil {
				undo(r.value)
			}
		}()
		var none T
		return none, context.Cause(ctx)
	}
}

// guarded is f, whose panic is not the end of the process either.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer bug.Caught(&err)
	return f()
}

// deaf blocks all signals on this thread until the returned function is called.
// The thread may be the process's first one. The kernel prefers the first thread
// for signals and wakes no other one while it is stuck (complete_signal in
// kernel/signal.c), so SIGTERM would never arrive.
func deaf() (restore func()) {
	runtime.LockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, &old)
	return func() {
		if err == nil {
			_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		}
		runtime.UnlockOSThread()
	}
}
