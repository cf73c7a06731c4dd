package state

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Lock makes the caller the only one that may change the directory, until it calls Unlock
// on the result. If another holder has the lock, Lock waits until ctx ends. That holder may
// be another goroutine with the same Dir. The error is ErrNotExist if the container was
// removed meanwhile.
//
// The lock is an flock on the directory itself, so a killed process leaves nothing behind.
func (d *Dir) Lock(ctx context.Context) (*Dir, error) {
	if d.lock != 0 {
		panic("BUG: " + d.path + " is locked already")
	}
	// The lock has an open file description of its own. A Lock that gives up leaves
	// it to the waiting goroutine, and the Dir can still be used.
	fd, err := openRetry(d.fd, ".", unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, d.fail("open", ".", err)
	}
	if err := flock(ctx, fd); err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	held := &Dir{id: d.id, path: d.path, owner: d.owner, root: d.root, fd: d.fd, lock: fd}
	if err := held.stillThere(); err != nil {
		held.Unlock()
		return nil, err
	}
	return held, nil
}

// Unlock releases the lock. The directory stays open: it belongs to the Dir that was
// locked.
func (d *Dir) Unlock() {
	if d.lock != 0 {
		unix.Close(d.lock)
		d.lock = 0
	}
}

// stillThere returns ErrNotExist if the directory was removed. A Lock that has waited for a
// delete gets the lock of a directory without a name.
func (d *Dir) stillThere() error {
	st, err := d.stat()
	if err == nil && st.Nlink == 0 {
		err = fmt.Errorf("%w: %s has been removed", ErrNotExist, d.path)
	}
	return err
}

// locked calls f with the lock, and takes the lock unless the caller holds it.
func (d *Dir) locked(ctx context.Context, f func() error) error {
	if d.lock == 0 {
		held, err := d.Lock(ctx)
		if err != nil {
			return err
		}
		defer held.Unlock()
	}
	return f()
}

// LockEnd makes the caller the only one that ends the container, until it calls unlock. The
// poststop hooks run under this lock. They may take long, so they must not run under the
// lock of Lock, for which others wait. The error is ErrNotExist if another process has
// removed the container.
//
// The lock is an flock on the configuration. That file exists from create to the end, and is
// never replaced.
func (d *Dir) LockEnd(ctx context.Context) (unlock func(), err error) {
	fd, err := openRetry(d.fd, configFile, unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, d.fail("open", configFile, err)
	}
	if err := flock(ctx, fd); err != nil {
		return nil, fmt.Errorf("lock %s/%s: %w", d.path, configFile, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink == 0 {
		unix.Close(fd)
		return nil, errors.Join(err, fmt.Errorf("%w: %s has been removed", ErrNotExist, d.path))
	}
	return func() { unix.Close(fd) }, nil
}

// flock locks fd, or closes it and returns an error.
func flock(ctx context.Context, fd int) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err != unix.EWOULDBLOCK {
		return closeUnlessNil(fd, err)
	}
	// flock(2) has no deadline. The goroutine that waits in it ends when the holder
	// unlocks, which is soon: by the rule of this package nobody waits with the lock.
	got := make(chan error, 1)
	go func() { got <- waitFlock(fd) }()
	select {
	case err := <-got:
		return closeUnlessNil(fd, err)
	case <-ctx.Done():
		go func() {
			<-got //nolint:errcheck // the caller has given up
			unix.Close(fd)
		}()
		return context.Cause(ctx)
	}
}

func waitFlock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

func closeUnlessNil(fd int, err error) error {
	if err != nil {
		unix.Close(fd)
	}
	return err
}
