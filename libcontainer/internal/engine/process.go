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

// lookUpHome reads the container's passwd as the stub, which may wait for a
// file system that does not answer where the runtime must not. O_NONBLOCK is
// for a FIFO, which is empty then. A longer file than nearly every image's ends
// the batch, and slowHome reads all of it: later the root's descriptor and the
// right to read the file may be gone.
func (w *walk) lookUpHome(s plan.Home) error {
	if w.homeRead {
		return nil
	}
	b := w.building
	fd := w.openPasswd(b.Batch)
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
	// passwdChunk is what nearly every image's passwd fits in.
	passwdChunk = 4 << 10
	// passwdMax is the most that is read of one: 10,000 users.
	passwdMax = 1 << 20
	// noOption is none of prctl's: it fails, and so ends a batch.
	noOption = -1
)

// slowHome reads a long passwd. One that root may not read, or that is no file,
// has no home directories; any other error is one.
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

// readPasswd reads all of the passwd, up to its bound.
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

// homeOf finds the home directory in a passwd(5), "/" where there is none. Some
// files leave the last field, the shell, out.
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

// enterCwd tries as root; what root may not enter (a volume of another
// machine, say) the user may, later.
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

// checkCwd asks where the stub is once the credentials are final: nothing
// outside of the container has a path there (CVE-2024-21626).
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

// maxCap is the highest capability that the sets have room for.
const maxCap = 63

// boundingSet drops up to the first capability that the kernel does not have,
// not up to the last one that this code has heard of.
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
	b.undumpable()
	if s.KeepCaps {
		b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 0)
	}
	return nil
}

// loadLarge brings data into the stub that is too much for a batch; nil for less.
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

// chownStdio gives the standard streams to the user, so that it can open them
// again through /dev/stderr and its like. A stream that cannot be given stays.
func (w *walk) chownStdio(s plan.Identity) {
	for i, f := range w.Stdio {
		if !s.ChownStdio {
			w.building.Fchown(remote.Inherited(i, "terminal"), s.UID, ^uint32(0)).TolerateAll()
			return // the three are one
		}
		if f == nil || !givable(f, s.UID) {
			continue
		}
		w.building.Fchown(remote.Inherited(i, "stdio"), s.UID, ^uint32(0)).TolerateAll()
	}
}

// givable tells whether a stream is a pipe or a terminal. A regular file or a
// device is the caller's, or the host's, and keeps its owner.
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

// findProgram looks args[0] up with the final credentials, and while it is at
// it checks the working directory.
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

// whyNot looks for the reason why none of the candidates can be executed, at
// the first that is there.
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

// defaultPath is for a process without PATH, as execvp(3) has it.
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

// The texts that engines turn into exit codes 127 and 126. Podman knows only
// the second of the last two words, and runc has only the first.
const (
	notFound  = "executable file not found in $PATH"
	forbidden = "permission denied"
	directory = "is a directory: " + forbidden
)

// choose takes the first candidate that can be executed.
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

// programError words a program that cannot be executed as exec(2)'s callers
// are used to, `exec: "NAME": …`, around the texts that engines look for.
func programError(s plan.FindProgram, text string, e unix.Errno) error {
	return &Failure{
		Field: "/process/args/0", Step: "exec: " + strconv.Quote(s.Name), Errno: e,
		Err: &textError{text, e},
	}
}

// textError is an errno under another text.
type textError struct {
	text  string
	errno unix.Errno
}

func (e *textError) Error() string { return e.text }
func (e *textError) Unwrap() error { return e.errno }
