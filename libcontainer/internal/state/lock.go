package state

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Lock gives the directory to the caller as the only one to change it, until
// Unlock of what it returns. It waits for whoever is, until ctx is over; that
// may be another goroutine with the same Dir. ErrNotExist: the container was
// removed meanwhile.
//
// It is an flock on the directory itself: nothing is left behind by a kill.
func (d *Dir) Lock(ctx context.Context) (*Dir, error) {
	if d.lock != 0 {
		panic("BUG: " + d.path + " is locked already")
	}
	// A second open file description, so that giving up leaves it to the
	// waiting goroutine and the directory to us.
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

// Unlock lets the next one have it. The directory stays open: it is that of the
// Dir that was locked.
func (d *Dir) Unlock() {
	if d.lock != 0 {
		unix.Close(d.lock)
		d.lock = 0
	}
}

// stillThere: who waited for a delete gets the lock of a directory without a
// name.
func (d *Dir) stillThere() error {
	st, err := d.stat()
	if err == nil && st.Nlink == 0 {
		err = fmt.Errorf("%w: %s has been removed", ErrNotExist, d.path)
	}
	return err
}

// locked runs f with the lock, taking it if it is not held.
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

// LockEnd gives the container's end to the caller alone, until unlock: hooks run
// in it, which may take long, and others must not have to wait with what Lock is
// for. ErrNotExist: another one has removed the container.
//
// It is an flock on the configuration, which is there from create to the end and
// is never replaced.
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

// flock owns fd: it is locked or closed afterwards.
func flock(ctx context.Context, fd int) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if err != unix.EWOULDBLOCK {
		return closeUnlessNil(fd, err)
	}
	// flock(2) knows no deadline. The goroutine that waits in it ends when the
	// other one lets go, which is soon by the rule that nobody waits with it.
	got := make(chan error, 1)
	go func() { got <- waitFlock(fd) }()
	select {
	case err := <-got:
		return closeUnlessNil(fd, err)
	case <-ctx.Done():
		go func() {
			<-got //nolint:errcheck // nobody wants the lock any more
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
