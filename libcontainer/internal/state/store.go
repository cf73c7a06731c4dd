package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// What callers branch on. Engines search for "does not exist".
var (
	ErrNotExist = errors.New("container does not exist")
	ErrExist    = errors.New("container with given ID already exists")
	ErrRoot     = errors.New("the state root cannot be read")
)

// Store is a state root: a directory with one directory a container. Names
// that are no valid id are not containers, so that others can keep theirs
// beside them (a name with an "@" can never be an id).
type Store struct{ Root string }

// Create claims the id. The directory is there and empty when it returns, and
// belongs to the caller.
func (s Store) Create(id string) (*Dir, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	err := unix.Mkdir(s.path(id), 0o700)
	if err == unix.ENOENT {
		if err := s.makeRoot(); err != nil {
			return nil, err
		}
		err = unix.Mkdir(s.path(id), 0o700)
	}
	if err == unix.EEXIST {
		return nil, fmt.Errorf("%w: %q", ErrExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("mkdir %s: %w", s.path(id), err)
	}
	return s.Open(id)
}

// makeRoot makes the state root. The sticky bit tells those who clean up
// $XDG_RUNTIME_DIR from time to time to spare it (XDG Base Directory
// Specification): a container's state is not touched while it runs.
func (s Store) makeRoot() error {
	if err := os.MkdirAll(s.Root, 0o700); err != nil {
		return err
	}
	return os.Chmod(s.Root, 0o700|os.ModeSticky)
}

// Open gives the directory of a container, whatever is in it.
func (s Store) Open(id string) (*Dir, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	fd, err := openRetry(unix.AT_FDCWD, s.path(id), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		return nil, fmt.Errorf("%w: %q", ErrNotExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path(id), err)
	}
	d := &Dir{id: id, path: s.path(id), fd: fd}
	if err := d.checkOwner(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// List gives the ids, sorted. A root that is not there has none.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && ValidID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Each calls f with every container that can be read. What could not be is in
// the joined error, and what went away meanwhile in neither. The directory is
// closed after f.
func (s Store) Each(f func(*Dir, *Record)) error {
	ids, err := s.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if err := s.each(id, f); err != nil && !errors.Is(err, ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s Store) each(id string, f func(*Dir, *Record)) error {
	d, err := s.Open(id)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := d.Load()
	if err != nil {
		return err
	}
	f(d, r)
	return nil
}

func (s Store) path(id string) string { return filepath.Join(s.Root, id) }
