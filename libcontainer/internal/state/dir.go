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
	// newFile becomes state.json. Retire makes a directory of this name, which no
	// file can replace: there will be no other record.
	newFile = "state.json.new"
)

// ErrRetired is the error of Save after a delete has begun.
var ErrRetired = errors.New("container is being deleted")

// Dir is the open directory of one container. Any number of goroutines may use it
// at once. Close may be called only when none of them uses it any more.
type Dir struct {
	id, path string
	owner    uint32
	root     int // descriptor of the state root, -1 in a Dir of Each
	fd       int
	lock     int // descriptor that holds the lock, 0 for none: see Lock
}

// ID returns the container's id.
func (d *Dir) ID() string { return d.id }

// Path returns the path of the directory, for messages and for other programs.
func (d *Dir) Path() string { return d.path }

// Close closes the directory. The container stays. A second call does nothing.
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

// Owner returns the uid of the directory's owner.
func (d *Dir) Owner() uint32 { return d.owner }

// checkOwner refuses a directory whose contents another user could have written: they
// tell the runtime which processes to kill and which cgroups to remove.
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

// Load reads the record. The error is ErrNotExist if there is none yet, or if create
// was killed before it saved one.
func (d *Dir) Load() (*Record, error) {
	var one loader
	return one.load(d)
}

// loader reads one record after another and reuses its buffer.
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

// Save replaces the record: a reader sees either the old or the new one. It takes the
// lock unless the caller holds it. The error is ErrRetired after Retire, and
// ErrNotExist after Remove.
func (d *Dir) Save(ctx context.Context, r *Record) error {
	return d.locked(ctx, func() error {
		if err := d.write(r); err != nil {
			return err
		}
		return d.publish()
	})
}

// Draft does the slow part of Save, and Publish does the rest. Between them, readers
// still see the old record. A Save discards the draft.
func (d *Dir) Draft(ctx context.Context, r *Record) error {
	return d.locked(ctx, func() error { return d.write(r) })
}

// Publish replaces the record by the draft. Its errors are those of Save.
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

// Retire makes the record final. Delete calls it. A Load after it shows all intents
// that there will ever be, even if a create still runs.
func (d *Dir) Retire(ctx context.Context) error {
	return d.locked(ctx, func() error {
		err := unix.Mkdirat(d.fd, newFile, 0o700)
		if err != unix.EEXIST {
			return d.failUnlessNil("mkdir", newFile, err)
		}
		// The directory was retired before, or this is the file of a killed Save.
		if err := unix.Unlinkat(d.fd, newFile, 0); err == unix.EISDIR {
			return nil
		}
		return d.failUnlessNil("mkdir", newFile, unix.Mkdirat(d.fd, newFile, 0o700))
	})
}

// SaveConfig stores the configuration byte for byte. It can be called once.
func (d *Dir) SaveConfig(data []byte) error {
	return d.failUnlessNil("write", configFile, writeFile(d.fd, configFile, unix.O_EXCL, data))
}

// Config returns the configuration that SaveConfig has stored.
func (d *Dir) Config() ([]byte, error) {
	data, err := readFile(d.fd, configFile)
	return data, d.failUnlessNil("read", configFile, err)
}

// Remove ends the container's existence. It removes everything in the directory, then
// the directory. It takes the lock unless the caller holds it. It is no error if
// another process has removed the container before.
func (d *Dir) Remove(ctx context.Context) error {
	err := d.locked(ctx, d.remove)
	if errors.Is(err, unix.EMFILE) && d.lock == 0 {
		err = d.removeWithoutDescriptors()
	}
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// removeWithoutDescriptors takes the lock by the descriptor that is there: none
// is left for Lock. It does not wait.
func (d *Dir) removeWithoutDescriptors() error {
	if err := unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", d.path, err)
	}
	defer func() { _ = unix.Flock(d.fd, unix.LOCK_UN) }()
	if err := d.stillThere(); err != nil {
		return err
	}
	return d.remove()
}

// remove holds the lock, so the name is still ours: removing or recreating it needs
// the same lock. If another user has put a directory or a link in its place, that
// stays: remove empties only the directory that it holds, and unlinkat removes only
// empty directories.
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

// removeFiles removes the record last: without it nobody knows what else has to be
// undone.
func (d *Dir) removeFiles() error {
	for _, name := range []string{startFIFO, statusFIFO, configFile, recordFile} {
		if err := unlink(d.fd, name, 0); err != nil && !errors.Is(err, unix.EISDIR) { // a directory: sweep removes it
			return err
		}
	}
	err := unlink(d.fd, newFile, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTDIR) {
		err = unlink(d.fd, newFile, 0)
	}
	return err
}

// sweep removes everything that other programs have put into the directory.
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

// fail adds the path to an error. If even a new name cannot be made, the directory
// has been removed.
func (d *Dir) fail(op, name string, err error) error {
	if err == unix.ENOENT && op != "read" {
		return fmt.Errorf("%w: %s has been removed", ErrNotExist, d.path)
	}
	return fmt.Errorf("%s %s: %w", op, d.file(name), err)
}
