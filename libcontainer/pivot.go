package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// CRIU puts the old root for a moment into a directory of the new root (criu/mount.c,
// cr_pivot_root). In a writable root file system CRIU makes the directory pivotTemplate
// (mkdtemp(3)) and removes it. In a read-only one it uses pivotName, which the runtime
// makes if it is missing. A SIGKILL in that moment leaves either of them, so they are
// intents.
const (
	pivotName     = "tmp"
	pivotTemplate = "crtools-put-root.XXXXXX"
)

// intendPivot records the directory that the restore will put into the root file system.
func (r *restoration) intendPivot(ctx context.Context) error {
	dir, err := openRealDirectory(ctx, r.rootfs)
	if err != nil {
		return &Failure{Field: "/root/path", Err: err}
	}
	name := pivotTemplate
	if root := r.config.Spec.Root; root != nil && root.Readonly {
		name = pivotName
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			dir.Close() // CRIU uses the container's own directory
			return nil
		}
	}
	r.pivot = pivot{dir, name}
	r.record.Intents = append(r.record.Intents, state.Intent{Kind: state.PivotDir, Name: filepath.Join(r.rootfs, name)})
	return nil
}

// makePivot makes the directory that a read-only root file system lacks. The intent is
// on disk.
func (r *restoration) makePivot() error {
	if r.pivot.name != pivotName {
		return nil
	}
	err := unix.Mkdirat(int(r.pivot.root.Fd()), pivotName, 0o755)
	if err == unix.EEXIST { // another program has made it since
		r.forgetPivot()
		return nil
	}
	if err != nil {
		return &Failure{Field: "/root/readonly", Err: fmt.Errorf("CRIU needs a directory named %s in %s: %w", pivotName, r.rootfs, err)}
	}
	return nil
}

// dropPivot removes the directory after CRIU has used it. The caller saves the record.
func (r *restoration) dropPivot() error {
	if r.pivot.name == pivotName {
		if err := r.pivot.remove(); err != nil {
			return err
		}
	}
	r.forgetPivot()
	return nil
}

func (r *restoration) forgetPivot() {
	r.pivot.close()
	r.pivot = pivot{}
	r.record.Intents = slices.DeleteFunc(r.record.Intents, func(i state.Intent) bool { return i.Kind == state.PivotDir })
}

// undoPivot removes the directory after a failed restore. CRIU has ended.
func (r *restoration) undoPivot() {
	if r.pivot.root == nil {
		return
	}
	if err := r.pivot.remove(); err != nil {
		r.warnf("clean up after the failed restore: %v", err)
	}
	r.pivot.close()
}

// pivot is the directory for the old root in an open root file system. It is zero if
// there is none.
type pivot struct {
	root *os.File
	name string // pivotName or pivotTemplate
}

func (p pivot) close() {
	if p.root != nil {
		p.root.Close()
	}
}

// remove removes the directory, or all directories that the template stands for. A
// directory with contents stays: it is not CRIU's.
func (p pivot) remove() error {
	names, err := p.names()
	for _, name := range names {
		failed := unix.Unlinkat(int(p.root.Fd()), name, unix.AT_REMOVEDIR)
		if failed != nil && failed != unix.ENOENT && failed != unix.ENOTEMPTY && failed != unix.ENOTDIR {
			err = errors.Join(err, &os.PathError{Op: "rmdir", Path: filepath.Join(p.root.Name(), name), Err: failed})
		}
	}
	return err
}

func (p pivot) names() ([]string, error) {
	if p.name != pivotTemplate {
		return []string{p.name}, nil
	}
	fd, err := unix.Openat(int(p.root.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // p.root is O_PATH
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p.root.Name(), Err: err}
	}
	dir := os.NewFile(uintptr(fd), p.root.Name())
	defer dir.Close()
	all, err := dir.Readdirnames(-1)
	prefix := strings.TrimRight(pivotTemplate, "X")
	return slices.DeleteFunc(all, func(name string) bool {
		return len(name) != len(pivotTemplate) || !strings.HasPrefix(name, prefix)
	}), err
}

// removeLeftPivot removes the directory of a killed restore. path is the intent's name.
func removeLeftPivot(ctx context.Context, path string) error {
	root, err := openRealDirectory(ctx, filepath.Dir(path))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	p := pivot{root, filepath.Base(path)}
	defer p.close()
	return p.remove()
}

// openRealDirectory opens a directory by its path without symlinks. It refuses a path that
// leads through one meanwhile.
func openRealDirectory(ctx context.Context, path string) (*os.File, error) {
	dir, err := openDirectory(ctx, path)
	if err != nil {
		return nil, err
	}
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())))
	if err == nil && real != path {
		err = fmt.Errorf("%s leads to %s now", path, real)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}
