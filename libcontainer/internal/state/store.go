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
	d, err := s.Open(id)
	if err != nil {
		_ = unix.Rmdir(s.path(id)) // for want of descriptors, say: then there is no container
	}
	return d, err
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
	return s.open(unix.AT_FDCWD, s.path(id), id, unix.Geteuid())
}

// open is for a name in the directory at, and a user to whom it has to belong.
func (s Store) open(at int, name, id string, user int) (*Dir, error) {
	fd, err := openRetry(at, name, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		return nil, fmt.Errorf("%w: %q", ErrNotExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path(id), err)
	}
	d := &Dir{id: id, path: s.path(id), fd: fd}
	if err := d.checkOwner(user); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// List gives the ids, sorted. A root that is not there has none.
func (s Store) List() ([]string, error) {
	root, err := s.openRoot()
	if root == nil {
		return nil, err
	}
	defer root.Close()
	return ids(root)
}

// openRoot gives nil where there is no root.
func (s Store) openRoot() (*os.File, error) {
	root, err := os.OpenFile(s.Root, unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return root, nil
}

func ids(root *os.File) ([]string, error) {
	entries, err := root.ReadDir(-1)
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
	root, err := s.openRoot()
	if root == nil {
		return err
	}
	defer root.Close()
	list, err := ids(root)
	if err != nil {
		return err
	}
	var errs []error
	at, user := int(root.Fd()), unix.Geteuid()
	l := loader{words: map[string]string{}}
	for _, id := range list {
		if err := s.each(at, id, user, &l, f); err != nil && !errors.Is(err, ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s Store) each(at int, id string, user int, l *loader, f func(*Dir, *Record)) error {
	d, err := s.open(at, id, id, user)
	if err != nil {
		return err
	}
	defer d.Close()
	r, err := l.load(d)
	if err != nil {
		return err
	}
	f(d, r)
	return nil
}

func (s Store) path(id string) string { return filepath.Join(s.Root, id) }
