// Package bounded makes system calls that may never return.
//
// A volume, or a root file system, may be a file system that does not answer.
// A thread that waits for one ends with its process and not before: the one
// rule here is that it is never the thread that others wait for.
package bounded

import (
	"context"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls f, and returns what it does, or the cause of the end of ctx when
// that comes first. Then f is left to itself, and undo is called with what it
// returns after all, if it succeeds; undo may be nil.
func Do[T any](ctx context.Context, f func() (T, error), undo func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer deaf()()
		v, err := f()
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

// deaf blocks signals on this thread until the function that it returns is
// called. It may be the process's first thread, to which the kernel gives
// signals by preference, without waking up another one when it is stuck
// (complete_signal in kernel/signal.c): SIGTERM would never arrive.
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
