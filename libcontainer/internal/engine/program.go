package engine

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// program finds the program and executes it by the last batch.
type program struct {
	*batches
	limits      *limits
	home        home
	workdir     workdir
	credentials credentials
	scheduling  scheduling
	path        string   // the file to execute
	filter      *fetched // nil until the first request
}

func newProgram(root *rootfs, points *mountpoints, l *limits) program {
	b := root.batches
	return program{
		batches: b, limits: l, home: home{rootfs: root}, workdir: workdir{rootfs: root, points: points},
		credentials: credentials{b}, scheduling: scheduling{batches: b},
	}
}

// find looks up args[0] with the final credentials. It also checks the
// working directory.
func (pr *program) find(s plan.FindProgram) error {
	for _, it := range pr.items {
		if c, ok := it.Step.(plan.Cwd); ok {
			pr.workdir.check(c.Path)
		}
	}
	list := candidates(s)
	stats := make([]remote.Stat, len(list))
	access := make([]remote.Result, len(list))
	for i, p := range list {
		stats[i] = pr.building.Statx(remote.Cwd(), p, 0)
		stats[i].TolerateAll()
		access[i] = pr.building.Faccess(remote.Cwd(), p, unix.X_OK).TolerateAll()
		if pr.full() {
			if err := pr.settle(); err != nil {
				return err
			}
		}
	}
	pr.later(func() (err error) {
		pr.path, err = choose(s, list, stats, access)
		if f := (*Failure)(nil); errors.As(err, &f) && f.Err.Error() != directory {
			f.Hint = pr.whyNot(s, list, f.Errno)
		}
		return err
	})
	return nil
}

// whyNot returns the first reason that it finds among the existing candidates,
// or "".
func (pr *program) whyNot(s plan.FindProgram, list []string, e unix.Errno) string {
	in := &inspector{ask: pr.ask}
	if s.Name == "" {
		return ""
	}
	for _, path := range list {
		if text := in.subject(path, e); text != "" {
			return text
		}
	}
	return ""
}

// Engines turn these texts into the exit codes 127 and 126. For a directory
// Podman knows only the second phrase, and runc prints only the first.
const (
	notFound  = "executable file not found in $PATH"
	forbidden = "permission denied"
	directory = "is a directory: " + forbidden
)

// choose returns the first candidate that can be executed.
func choose(s plan.FindProgram, list []string, stats []remote.Stat, access []remote.Result) (string, error) {
	var denied string
	for i, p := range list {
		if stats[i].Errno() != 0 {
			if stats[i].Errno() == unix.EACCES && denied == "" {
				denied = p
			}
			continue
		}
		mode := stats[i].Get().Mode
		switch {
		case mode&unix.S_IFMT == unix.S_IFDIR:
			if strings.Contains(s.Name, "/") {
				return "", programError(s, directory, unix.EACCES)
			}
		case access[i].Errno() != 0 || mode&0o111 == 0 || mode&unix.S_IFMT != unix.S_IFREG:
			if denied == "" {
				denied = p
			}
		default:
			return p, nil
		}
	}
	switch {
	case denied != "":
		return "", programError(s, forbidden, unix.EACCES)
	case len(list) == 1 && strings.Contains(s.Name, "/"):
		e := stats[0].Errno()
		return "", programError(s, "stat "+s.Name+": "+e.Error(), e)
	}
	return "", programError(s, notFound, unix.ENOENT)
}

// programError words a failed lookup as the callers of exec(2) expect it,
// `exec: "NAME": …`, around the texts that engines look for.
func programError(s plan.FindProgram, text string, e unix.Errno) error {
	return &Failure{
		Field: "/process/args/0", Step: "exec: " + strconv.Quote(s.Name), Errno: e,
		Err: &textError{text, e},
	}
}
