package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Errors that callers branch on. Engines search for "does not exist".
var (
	ErrNotExist = errors.New("container does not exist")
	ErrExist    = errors.New("container with given ID already exists")
	ErrRoot     = errors.New("the state root cannot be used")
)

// Store is a state root: a directory with one directory for each container. A name that is no
// valid id is not a container. So other data can be kept beside the containers: a name with
// an "@" can never be an id.
type Store struct{ Root string }

// Create claims the id. The directory exists and is empty when Create returns, and belongs to
// the caller.
func (s Store) Create(id string) (*Dir, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	root, err := s.root(unix.O_PATH)
	if err == nil && root < 0 {
		root, err = s.makeRoot()
	}
	if err != nil {
		return nil, err
	}
	d, err := s.create(root, id)
	if err != nil {
		unix.Close(root)
		return nil, err
	}
	d.root = root
	return d, nil
}

func (s Store) create(root int, id string) (*Dir, error) {
	err := unix.Mkdirat(root, id, 0o700)
	if err == unix.EEXIST {
		return nil, fmt.Errorf("%w: %q", ErrExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("mkdir %s: %w", s.path(id), err)
	}
	d, err := s.open(root, id, unix.Geteuid())
	if err != nil {
		_ = unix.Unlinkat(root, id, unix.AT_REMOVEDIR) // open may fail for lack of descriptors; then there is no container
	}
	return d, err
}

// makeRoot makes the state root and opens it. Some programs clean $XDG_RUNTIME_DIR up
// from time to time. The sticky bit tells them to spare a directory that is not touched
// for long (XDG Base Directory Specification), such as the state of a running container.
func (s Store) makeRoot() (int, error) {
	if err := os.MkdirAll(s.Root, 0o700); err != nil {
		return -1, err
	}
	root, err := s.root(unix.O_RDONLY)
	if err == nil && root < 0 {
		err = fmt.Errorf("open %s: %w", s.Root, unix.ENOENT)
	}
	if err != nil {
		return -1, err
	}
	if err := unix.Fchmod(root, 0o700|unix.S_ISVTX); err != nil {
		unix.Close(root)
		return -1, fmt.Errorf("chmod %s: %w", s.Root, err)
	}
	return root, nil
}

// root opens the state root and checks that no other user can replace a directory in
// it. It returns -1 if there is no root.
func (s Store) root(flags int) (int, error) {
	fd, err := openRetry(unix.AT_FDCWD, s.Root, unix.O_DIRECTORY|flags, 0)
	if err == unix.ENOENT {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("%w: open %s: %w", ErrRoot, s.Root, err)
	}
	if err := trustRoot(fd, s.Root); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return fd, nil
}

// Open opens the directory of a container, whatever is in it.
func (s Store) Open(id string) (*Dir, error) {
	if err := ValidID(id); err != nil {
		return nil, err
	}
	root, err := s.root(unix.O_PATH)
	if err != nil {
		return nil, err
	}
	if root < 0 {
		return nil, fmt.Errorf("%w: %q", ErrNotExist, id)
	}
	d, err := s.open(root, id, unix.Geteuid())
	if err != nil {
		unix.Close(root)
		return nil, err
	}
	d.root = root
	return d, nil
}

// open opens a container's directory in root. The directory must belong to user.
func (s Store) open(root int, id string, user int) (*Dir, error) {
	fd, err := openBeneath(root, id, 0)
	if err == unix.ENOENT {
		return nil, fmt.Errorf("%w: %q", ErrNotExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path(id), err)
	}
	d := &Dir{id: id, path: s.path(id), root: -1, fd: fd}
	if err := d.checkOwner(user); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// List returns the ids, sorted. A root that does not exist has none.
func (s Store) List() ([]string, error) {
	root, err := s.openRoot()
	if root == nil {
		return nil, err
	}
	defer root.Close()
	return ids(root)
}

// openRoot opens the root for reading. It returns nil if there is no root.
func (s Store) openRoot() (*os.File, error) {
	fd, err := s.root(unix.O_RDONLY)
	if err != nil || fd < 0 {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.Root), nil
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

// Each calls f with every container whose record can be read. The error joins the
// problems of the others, except those that were removed meanwhile. The directory is
// closed after f, which must not remove it.
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
	d, err := s.open(at, id, user)
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
