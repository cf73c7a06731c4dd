package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// Inspection is a look at a program whose execve has failed.
type Inspection struct {
	User    *os.File // the container's user namespace, which may be ours
	Mount   *os.File // its mount namespace
	Process *specs.Process
	Errno   unix.Errno
}

// Inspect has a stub enter the namespaces and find out why the program could
// not be executed. The answer is a clause about it, "" where there is none.
//
// The stub has the ids of the process and no capability: it opens nothing that
// the process could not have opened. It is in no pid namespace of the
// container, and what it reads is looked at as bytes of a stranger.
func Inspect(ctx context.Context, i Inspection) string {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return ""
	}
	defer null.Close()
	const user, mount, control = 3, 4, 5
	stub, err := remote.Start(ctx, remote.Spawn{
		Files: []*os.File{null, null, null, mount: i.Mount, user: i.User}, Control: control, Timeout: defaultTimeout, Argv0: "onggi:inspect",
	})
	if err != nil {
		return ""
	}
	defer stub.Kill()
	in := &inspector{ask: stub.Do}
	if err := in.enter(i, remote.Inherited(user, "user namespace"), remote.Inherited(mount, "mount namespace")); err != nil {
		return ""
	}
	return in.search(plan.Program(i.Process), i.Errno)
}

// inspector looks at files of a container through a stub that is in it.
type inspector struct{ ask func(*remote.Batch) error }

// enter: a mount namespace that belongs to our user namespace can only be
// entered before the container's, any other one only after it when we are not
// privileged. Both ways are tried.
func (in *inspector) enter(i Inspection, user, mount *remote.FD) error {
	var b remote.Batch
	b.Prctl("PR_SET_DUMPABLE", unix.PR_SET_DUMPABLE, 0)
	first := b.Setns(mount, unix.CLONE_NEWNS).Tolerate(unix.EPERM)
	b.Setns(user, unix.CLONE_NEWUSER).Tolerate(unix.EINVAL) // it is our own
	b.Setgroups(nil).TolerateAll()                          // denied where a user namespace without privilege has made it
	b.Setresgid(i.Process.User.GID)
	if err := in.ask(&b); err != nil {
		return err
	}
	var late remote.Batch
	if first.Errno() != 0 {
		late.Setns(mount, unix.CLONE_NEWNS)
	}
	late.Setresuid(i.Process.User.UID)
	late.Capset(0, 0, 0)
	late.Prctl("PR_SET_DUMPABLE", unix.PR_SET_DUMPABLE, 0) // setresuid has reset it (prctl(2))
	late.Chdir(i.Process.Cwd).TolerateAll()
	return in.ask(&late)
}

// search finds the file that was executed, as execvp would, and inspects it.
func (in *inspector) search(s plan.FindProgram, e unix.Errno) string {
	for _, path := range candidates(s) {
		var b remote.Batch
		st := b.Statx(remote.Cwd(), path, 0)
		st.TolerateAll()
		if in.ask(&b) == nil && st.Errno() == 0 && st.Get().Mode&0o111 != 0 {
			return in.subject(path, e)
		}
	}
	return ""
}

// subject makes a clause of what is known about the program itself. That it is
// missing needs no clause.
func (in *inspector) subject(path string, e unix.Errno) string {
	text := in.fault(path, e, maxInterpreters)
	if text == "" || text == missing {
		return ""
	}
	return path + " " + text
}

const missing = "is missing"

// maxInterpreters is how often the kernel goes on to an interpreter, and the
// ELF interpreter behind them.
const maxInterpreters = 5 + 1

// fault says what is wrong with executing a file: "is missing", "is a
// directory", …; "" where nothing is.
func (in *inspector) fault(path string, e unix.Errno, left int) string {
	if left == 0 {
		return "has too many interpreters"
	}
	if text := in.accessFault(path); text != "" {
		return text
	}
	head, err := in.read(path, headSize, 0)
	if err != nil {
		return "" // not readable is executable still
	}
	x := readExecutable(head)
	switch {
	case x.problem != "" && (x.script || e == unix.ENOEXEC):
		return x.problem
	case x.script:
		return in.interpreterFault("has a #! line that names ", x.interpreter, e, left)
	case x.interpLen > 0 && x.interpLen <= unix.PathMax:
		name, err := in.read(path, int(x.interpLen), x.interpAt)
		if err != nil {
			return ""
		}
		return in.interpreterFault("needs the ELF interpreter ", interpreterName(name), e, left)
	}
	return ""
}

func (in *inspector) interpreterFault(what, name string, e unix.Errno, left int) string {
	text := in.fault(name, e, left-1)
	if text == "" {
		return ""
	}
	return what + strconv.Quote(name) + ", which " + text
}

// accessFault is about the file as such, not its content.
func (in *inspector) accessFault(path string) string {
	var b remote.Batch
	fd := b.Openat2(remote.Cwd(), path, unix.O_PATH, 0, unix.RESOLVE_NO_MAGICLINKS)
	open := b.Last().TolerateAll()
	st := b.Statx(fd, "", 0)
	fs := b.Fstatfs(fd)
	b.Close(fd)
	open.OnFailSkip()
	access := b.Faccess(remote.Cwd(), path, unix.X_OK).TolerateAll()
	if err := in.ask(&b); err != nil {
		return ""
	}
	switch e := open.Errno(); {
	case e == unix.ENOENT:
		return in.missing(path)
	case e != 0:
		return ""
	}
	return fileFault(st.Get(), fs.Get(), access.Errno())
}

// missing tells a name that is not there from a symlink to one.
func (in *inspector) missing(path string) string {
	var b remote.Batch
	r, buf := b.Readlinkat(remote.Cwd(), path)
	r.TolerateAll()
	if in.ask(&b) == nil && r.Errno() == 0 && r.Value() <= int64(len(buf.Bytes())) {
		return "is a symlink to " + strconv.Quote(string(buf.First(r.Value()))) + ", which is missing"
	}
	return missing
}

// fileFault: what stat, statfs and access say.
func fileFault(st unix.Statx_t, fs unix.Statfs_t, access unix.Errno) string {
	switch mode := st.Mode; {
	case mode&unix.S_IFMT == unix.S_IFDIR:
		return "is a directory"
	case mode&unix.S_IFMT != unix.S_IFREG:
		return "is not a regular file"
	case fs.Flags&unix.ST_NOEXEC != 0:
		return "is on a mount with the option noexec"
	case mode&0o111 == 0:
		return fmt.Sprintf("has no execute permission (mode %04o)", mode&0o7777)
	case access != 0:
		return fmt.Sprintf("is executable for others only (mode %04o, owner %d:%d)", mode&0o7777, st.Uid, st.Gid)
	}
	return ""
}

// read gives at most n bytes of a file from off on. It was a regular file a
// moment ago: O_NONBLOCK and O_NOCTTY are for one that has become something
// else.
func (in *inspector) read(path string, n int, off uint64) ([]byte, error) {
	var b remote.Batch
	fd := b.Openat2(remote.Cwd(), path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0, unix.RESOLVE_NO_MAGICLINKS)
	r, buf := b.Pread(fd, n, off)
	r.TolerateAll()
	b.Close(fd)
	if err := in.ask(&b); err != nil {
		return nil, err
	}
	if e := r.Errno(); e != 0 {
		return nil, e
	}
	return buf.First(r.Value()), nil
}
