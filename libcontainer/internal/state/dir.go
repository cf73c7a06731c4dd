package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	recordFile = "state.json"
	configFile = "config.json"
	// newFile becomes state.json. A directory of this name, which no file can
	// replace, is how Retire says that there will be no other record.
	newFile = "state.json.new"
)

// ErrRetired is the answer to Save once a delete has begun.
var ErrRetired = errors.New("container is being deleted")

// Dir is one container's directory. It is for any number of goroutines, until
// Close: that is for when nobody uses it any more.
type Dir struct {
	id, path string
	owner    uint32
	root     int // descriptor of the state root, -1 for one that Each gives
	fd       int
	lock     int // descriptor that holds the lock, 0 for none: see Lock
}

// ID is the name of the container.
func (d *Dir) ID() string { return d.id }

// Path is for messages and for what has to be named to others.
func (d *Dir) Path() string { return d.path }

// Close lets go of the directory. The container stays. The second call does
// nothing.
func (d *Dir) Close() error {
	fd := d.fd
	if fd < 0 {
		return nil
	}
	d.fd = -1
	if d.root >= 0 {
		unix.Close(d.root)
	}
	return unix.Close(fd)
}

// Owner is the user to whom the directory belongs.
func (d *Dir) Owner() uint32 { return d.owner }

// checkOwner refuses a directory that someone else could have filled: what is
// in it says which processes to kill and which cgroups to remove.
func (d *Dir) checkOwner(user int) error {
	st, err := d.stat()
	if err != nil {
		return err
	}
	d.owner = st.Uid
	if int(st.Uid) != user {
		return foreign(d.path, st.Uid, user)
	}
	if st.Mode&0o022 != 0 {
		return writable(d.path, st.Mode)
	}
	return nil
}

func (d *Dir) stat() (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return st, fmt.Errorf("fstat %s: %w", d.path, err)
	}
	return st, nil
}

// Load reads the record. ErrNotExist is for a directory that has none, because
// create was killed or is not that far.
func (d *Dir) Load() (*Record, error) {
	var one loader
	return one.load(d)
}

// loader reads one record after the other.
type loader struct {
	buf   []byte
	words map[string]string
}

func (l *loader) load(d *Dir) (*Record, error) {
	data, err := readInto(d.fd, recordFile, l.buf)
	if err == unix.ENOENT {
		return nil, fmt.Errorf("%w: %s has no state", ErrNotExist, d.path)
	}
	if err != nil {
		return nil, d.fail("read", recordFile, err)
	}
	l.buf = data
	r, err := parseRecord(d.id, data, l.words)
	if err != nil {
		return nil, fmt.Errorf("%s: corrupt state: %w", d.file(recordFile), err)
	}
	return r, nil
}

// Save replaces the record: a reader sees the old or the new one. It takes
// the lock unless it is held, and fails with ErrRetired after Retire and with
// ErrNotExist after Remove.
func (d *Dir) Save(ctx context.Context, r *Record) error {
	return d.locked(ctx, func() error {
		if err := d.write(r); err != nil {
			return err
		}
		return d.publish()
	})
}

// Draft does the part of Save that takes time, and Publish the rest: what is in
// between is done while readers still see the old record. Save discards a draft.
func (d *Dir) Draft(ctx context.Context, r *Record) error {
	return d.locked(ctx, func() error { return d.write(r) })
}

// Publish puts the draft in the place of the record. It fails as Save does.
func (d *Dir) Publish(ctx context.Context) error { return d.locked(ctx, d.publish) }

func (d *Dir) write(r *Record) error {
	if r.ID != d.id {
		return fmt.Errorf("BUG: state of %q saved in %s", r.ID, d.path)
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("state of %q: %w", r.ID, err)
	}
	switch err := writeFile(d.fd, newFile, unix.O_TRUNC, r.encode()); err {
	case nil:
		return nil
	case unix.EISDIR:
		return fmt.Errorf("%w: %q", ErrRetired, d.id)
	default:
		return d.fail("write", newFile, err)
	}
}

func (d *Dir) publish() error {
	switch err := unix.Renameat(d.fd, newFile, d.fd, recordFile); err {
	case nil:
		return nil
	case unix.ENOTDIR: // Retire has put a directory in the draft's place
		return fmt.Errorf("%w: %q", ErrRetired, d.id)
	default:
		return d.fail("rename", newFile, err)
	}
}

// Retire makes the record final: delete calls it, and the Load after it shows
// every intent that there is or will be, even of a create that still runs.
func (d *Dir) Retire(ctx context.Context) error {
	return d.locked(ctx, func() error {
		err := unix.Mkdirat(d.fd, newFile, 0o700)
		if err != unix.EEXIST {
			return d.failUnlessNil("mkdir", newFile, err)
		}
		// It is retired already, or this is the file of a Save that was killed.
		if err := unix.Unlinkat(d.fd, newFile, 0); err == unix.EISDIR {
			return nil
		}
		return d.failUnlessNil("mkdir", newFile, unix.Mkdirat(d.fd, newFile, 0o700))
	})
}

// SaveConfig keeps the configuration, verbatim. It is written once.
func (d *Dir) SaveConfig(data []byte) error {
	return d.failUnlessNil("write", configFile, writeFile(d.fd, configFile, unix.O_EXCL, data))
}

// Config reads it back.
func (d *Dir) Config() ([]byte, error) {
	data, err := readFile(d.fd, configFile)
	return data, d.failUnlessNil("read", configFile, err)
}

// Remove ends the container's existence: everything in the directory, then
// the directory. It takes the lock unless it is held; what another one has
// removed before is fine.
func (d *Dir) Remove(ctx context.Context) error {
	err := d.locked(ctx, d.remove)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// remove holds the lock, so the name is still ours: removing or recreating it
// needs the same lock. A directory or a link that someone has put in its place
// stays: only the held directory is emptied, and unlinkat removes empty
// directories alone.
func (d *Dir) remove() error {
	if err := d.removeFiles(); err != nil {
		return err
	}
	err := unix.Unlinkat(d.root, d.id, unix.AT_REMOVEDIR)
	if err == unix.ENOTEMPTY {
		if err := d.sweep(); err != nil {
			return err
		}
		err = unix.Unlinkat(d.root, d.id, unix.AT_REMOVEDIR)
	}
	if err == unix.ENOTEMPTY || err == unix.ENOTDIR {
		return fmt.Errorf("%s has been replaced by another file, which is left: %w", d.path, err)
	}
	return d.failUnlessNil("rmdir", "", err)
}

// removeFiles leaves the record for last: without it nobody knows what else
// there is to undo.
func (d *Dir) removeFiles() error {
	for _, name := range []string{startFIFO, statusFIFO, configFile, recordFile} {
		if err := unlink(d.fd, name, 0); err != nil && !errors.Is(err, unix.EISDIR) { // sweep removes it
			return err
		}
	}
	err := unlink(d.fd, newFile, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTDIR) {
		err = unlink(d.fd, newFile, 0)
	}
	return err
}

// sweep is for a directory in which others have put something.
func (d *Dir) sweep() error {
	fd, err := openBeneath(d.fd, ".", 0)
	if err != nil {
		return d.fail("open", ".", err)
	}
	return removeAll(os.NewFile(uintptr(fd), d.path))
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) failUnlessNil(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return d.fail(op, name, err)
}

// fail says which file it was. A directory in which a name cannot even be made
// has been removed.
func (d *Dir) fail(op, name string, err error) error {
	if err == unix.ENOENT && op != "read" {
		return fmt.Errorf("%w: %s has been removed", ErrNotExist, d.path)
	}
	return fmt.Errorf("%s %s: %w", op, d.file(name), err)
}
