package engine

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// workdir enters the working directory.
type workdir struct {
	*rootfs
	points *mountpoints
	first  []remote.Result // the attempt as root; empty before it
}

// enter enters the working directory as root. If root may not enter it, for
// example on a network file system, check tries again as the user.
func (wd *workdir) enter(s plan.Cwd) error {
	wd.first = []remote.Result{wd.try(s.Path)}
	return nil
}

func (wd *workdir) try(path string) remote.Result {
	b := wd.building
	root := wd.root
	if root == nil {
		root = b.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	}
	fd := b.Openat2(root, relative(path), unix.O_PATH|unix.O_DIRECTORY, 0, remote.InRoot)
	r := b.Last().Tolerate(unix.EACCES)
	b.Fchdir(fd).Tolerate(unix.EACCES)
	enter := b.Last()
	b.Close(fd)
	r.OnFailSkip()
	return enter
}

func (wd *workdir) slow(it plan.Item, s plan.Cwd, ce *remote.CallError) (bool, error) {
	if ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT && s.Create {
		return true, wd.points.createDirectory(it, s.Path)
	}
	return false, nil
}

// check tries to enter the working directory with the final credentials, and
// asks for its path. A directory outside the container's root has no path there
// (CVE-2024-21626).
func (wd *workdir) check(path string) {
	if len(wd.first) == 0 {
		return
	}
	first := wd.first[0]
	second := wd.try(path)
	cwd, buf := wd.building.Getcwd()
	at := wd.at
	wd.later(func() error {
		it := wd.items[at]
		it.Field, it.Step = "/process/cwd", plan.Cwd{Path: path}
		entered := func(r remote.Result) bool { return r.Ran() && r.Errno() == 0 }
		if !entered(first) && !entered(second) {
			return &Failure{Field: it.Field, Step: doing(it.Step), Errno: unix.EACCES, Hint: "neither root nor the user may enter it"}
		}
		if n := cwd.Value(); n < 1 || buf.Bytes()[0] != '/' {
			return &Failure{Field: it.Field, Step: doing(it.Step), Err: fmt.Errorf("the working directory is outside of the container's root file system: %w", unix.ENOENT)}
		}
		return nil
	})
}
