package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// lookUpHome has the stub read the container's passwd: the file system may never
// answer, and the runtime side must not wait for it. With O_NONBLOCK a FIFO reads
// as empty.
//
// One read suffices for nearly all images. A longer file ends the batch on
// purpose, with a call that always fails, and slowHome reads all of it. This
// cannot happen later: the stub may have neither the root's descriptor nor the
// right to read the file then.
func (w *walk) lookUpHome(s plan.Home) error {
	if w.homeRead {
		return nil
	}
	b := w.building
	fd := w.openPasswd(&b.Batch)
	open := b.Last().Tolerate(unix.ENOENT, unix.ENOTDIR)
	read, buf := b.Read(fd, passwdChunk)
	more, _ := b.Read(fd, 1)
	b.Prctl("more of /etc/passwd", noOption)
	more.OnZeroSkip()
	b.Close(fd)
	open.OnFailSkip()
	w.home = "/"
	w.later(func() error {
		if open.Errno() == 0 {
			w.home = homeOf(buf.First(read.Value()), s.UID)
		}
		return nil
	})
	return nil
}

func (w *walk) openPasswd(b *remote.Batch) *remote.FD {
	root := w.root
	if root == nil {
		root = b.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	}
	return b.Openat2(root, "etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0, remote.InRoot)
}

const (
	// passwdChunk is larger than nearly every image's passwd.
	passwdChunk = 4 << 10
	// passwdMax bounds the part that is read: 10,000 users.
	passwdMax = 1 << 20
	// noOption is not an option of prctl(2): the call fails and ends the batch.
	noOption = -1
)

// slowHome reads a long passwd. If root may not read the file, or it is no
// regular file, the home directory is "/". Every other error fails the walk.
func (w *walk) slowHome(s plan.Home, ce *remote.CallError) (bool, error) {
	switch {
	case isCall(ce, "prctl"):
		text, err := w.readPasswd()
		if err != nil {
			return false, err
		}
		w.home, w.homeRead = homeOf(text, s.UID), true
	case isCall(ce, "openat2") && isErrno(ce, unix.EACCES, unix.EPERM, unix.ELOOP, unix.ENXIO, unix.ENODEV),
		isCall(ce, "read") && isErrno(ce, unix.EISDIR, unix.EINVAL, unix.EAGAIN):
		w.home, w.homeRead = "/", true
	}
	return w.homeRead, nil
}

// readPasswd reads the passwd up to passwdMax bytes.
func (w *walk) readPasswd() ([]byte, error) {
	var open remote.Batch
	fd := w.openPasswd(&open)
	if err := w.ask(&open); err != nil {
		return nil, err
	}
	var text []byte
	for len(text) < passwdMax {
		var q remote.Batch
		r, buf := q.Read(fd, 64<<10)
		if err := w.ask(&q); err != nil {
			return nil, err
		}
		if r.Value() == 0 {
			break
		}
		text = append(text, buf.First(r.Value())...)
	}
	return text, w.closeAll(open.Opened(0))
}

// homeOf returns the home directory of uid in a passwd(5), or "/" without one.
// Some files leave out the last field, the shell.
func homeOf(passwd []byte, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) >= 6 && f[2] == want && f[5] != "" {
			return f[5]
		}
	}
	return "/"
}

// enterCwd enters the working directory as root. If root may not enter it, for
// example on a network file system, checkCwd tries again as the user.
func (w *walk) enterCwd(s plan.Cwd) error {
	w.cwd = []remote.Result{w.tryCwd(s.Path)}
	return nil
}

func (w *walk) tryCwd(path string) remote.Result {
	b := w.building
	root := w.root
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

func (w *walk) slowCwd(it plan.Item, s plan.Cwd, ce *remote.CallError) (bool, error) {
	if isCall(ce, "openat2") && ce.Errno == unix.ENOENT && s.Create {
		return true, w.makeDirectory(it, s.Path)
	}
	return false, nil
}

// checkCwd tries to enter the working directory with the final credentials, and
// asks for its path. A directory outside the container's root has no path there
// (CVE-2024-21626).
func (w *walk) checkCwd(path string) {
	if len(w.cwd) == 0 {
		return
	}
	first := w.cwd[0]
	second := w.tryCwd(path)
	cwd, buf := w.building.Getcwd()
	at := w.at
	w.later(func() error {
		it := w.items[at]
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

// maxCap is the highest capability for which the sets have a bit.
const maxCap = 63

// boundingSet drops all capabilities of the running kernel that are not kept,
// also those that this program does not know. EINVAL of an unknown capability
// ends the list.
func (w *walk) boundingSet(s plan.BoundingSet) error {
	var unknown []remote.Result
	for c := range maxCap + 1 {
		if s.Keep&(1<<c) != 0 {
			continue
		}
		r := w.building.Prctl("PR_CAPBSET_DROP", unix.PR_CAPBSET_DROP, uint64(c)).Tolerate(unix.EINVAL)
		if c > unix.CAP_LAST_CAP {
			unknown = append(unknown, r)
		}
	}
	for _, r := range unknown {
		r.OnFailSkip()
	}
	return nil
}

func (w *walk) identity(s plan.Identity) error {
	list := remote.GroupList(s.Groups)
	large, err := w.loadLarge(list)
	if err != nil {
		return err
	}
	b := w.building
	if s.KeepCaps {
		b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 1)
	}
	w.chownStdio(s)
	switch {
	case s.SetGroups && large != nil:
		b.SetgroupsLarge(*large)
		b.Unload(*large)
	case s.SetGroups:
		b.Setgroups(s.Groups)
	}
	b.Setresgid(s.GID)
	b.Setresuid(s.UID)
	b.SetDumpable(false)
	if s.KeepCaps {
		b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 0)
	}
	return nil
}

// loadLarge loads data into the stub that is too large for a batch. It returns
// nil for smaller data.
func (w *walk) loadLarge(p []byte) (*remote.Large, error) {
	if len(p) < remote.LargeData {
		return nil, nil
	}
	if err := w.settle(); err != nil {
		return nil, err
	}
	large, err := w.stub.LoadLarge(p)
	return &large, err
}

// chownStdio makes the user the owner of the standard streams, so that the
// program can open them again, for example as /dev/stderr. A failure leaves the
// owner as it is.
func (w *walk) chownStdio(s plan.Identity) {
	for i, f := range w.Stdio {
		if !s.ChownStdio {
			w.building.Fchown(remote.Inherited(i, "terminal"), s.UID, ^uint32(0)).TolerateAll()
			return // all three are the terminal
		}
		if f == nil || !givable(f, s.UID) {
			continue
		}
		w.building.Fchown(remote.Inherited(i, "stdio"), s.UID, ^uint32(0)).TolerateAll()
	}
}

// givable reports whether a stream is a pipe or a terminal. Regular files and
// other devices belong to the caller or the host, and keep their owner.
func givable(f *os.File, uid uint32) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Uid == uid && uid == 0 {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return true
	case unix.S_IFCHR:
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		return err == nil
	}
	return false
}

func (w *walk) capabilities(s plan.Capabilities) error {
	b := w.building
	b.Capset(s.Effective, s.Permitted, s.Inheritable)
	b.Prctl("PR_CAP_AMBIENT", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL).Tolerate(unix.EINVAL)
	for c := range maxCap + 1 {
		if s.Ambient&(1<<c) != 0 {
			b.Prctl("PR_CAP_AMBIENT", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(c))
		}
	}
	return nil
}

// findProgram looks up args[0] with the final credentials. It also checks the
// working directory.
func (w *walk) findProgram(s plan.FindProgram) error {
	for _, it := range w.items {
		if c, ok := it.Step.(plan.Cwd); ok {
			w.checkCwd(c.Path)
		}
	}
	list := candidates(s)
	stats := make([]remote.Stat, len(list))
	access := make([]remote.Result, len(list))
	for i, p := range list {
		stats[i] = w.building.Statx(remote.Cwd(), p, 0)
		stats[i].TolerateAll()
		access[i] = w.building.Faccess(remote.Cwd(), p, unix.X_OK).TolerateAll()
		if w.full() {
			if err := w.settle(); err != nil {
				return err
			}
		}
	}
	w.later(func() (err error) {
		w.program, err = choose(s, list, stats, access)
		if f := (*Failure)(nil); errors.As(err, &f) && f.Err.Error() != directory {
			f.Hint = w.whyNot(s, list, f.Errno)
		}
		return err
	})
	return nil
}

// whyNot returns the first reason that it finds among the existing candidates,
// or "".
func (w *walk) whyNot(s plan.FindProgram, list []string, e unix.Errno) string {
	in := &inspector{ask: w.ask}
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

// defaultPath applies without PATH, as in execvp(3).
const defaultPath = "/bin:/usr/bin"

func candidates(s plan.FindProgram) []string {
	if strings.Contains(s.Name, "/") {
		return []string{s.Name}
	}
	dirs := s.Path
	if dirs == "" {
		dirs = defaultPath
	}
	var out []string
	for _, dir := range strings.Split(dirs, ":") {
		if dir == "" {
			dir = "."
		}
		out = append(out, dir+"/"+s.Name)
	}
	return out
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

// textError is an errno with another text.
type textError struct {
	text  string
	errno unix.Errno
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.errno }
