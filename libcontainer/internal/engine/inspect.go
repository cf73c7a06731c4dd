package engine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// Inspection describes a program whose execve has failed.
type Inspection struct {
	User    *os.File // the container's user namespace; it may be the runtime's own
	Mount   *os.File // the container's mount namespace
	Process *specs.Process
	Errno   unix.Errno
}

// Inspect finds out why the program could not be executed. It returns a clause,
// or "" if it finds no reason.
//
// A stub enters the container's namespaces and looks at the files. It has the ids
// of the process and no capability, so it opens nothing that the process could
// not have opened. It is in no pid namespace of the container. The runtime side
// treats the bytes that it reads as hostile.
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

// inspector looks at files of a container through a stub inside it.
type inspector struct{ ask func(*remote.Batch) error }

// enter joins the namespaces and takes the ids of the process. A mount namespace
// of the runtime's own user namespace can only be entered before the container's
// user namespace. Without privilege, any other mount namespace can only be
// entered after it. So enter tries both orders.
func (in *inspector) enter(i Inspection, user, mount *remote.FD) error {
	var b remote.Batch
	b.SetDumpable(false)
	first := b.Setns(mount, unix.CLONE_NEWNS).Tolerate(unix.EPERM)
	b.Setns(user, unix.CLONE_NEWUSER).Tolerate(unix.EINVAL) // the stub is in it already
	b.Setgroups(nil).TolerateAll()                          // forbidden in a user namespace that was created without privilege
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
	late.SetDumpable(false) // setresuid has reset the flag (prctl(2))
	late.Chdir(i.Process.Cwd).TolerateAll()
	return in.ask(&late)
}

// search finds the executed file as execvp does, and inspects it.
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

// subject returns a clause about the program itself. It returns "" for a missing
// program: the errno says that already.
func (in *inspector) subject(path string, e unix.Errno) string {
	text := in.fault(path, e, maxInterpreters)
	if text == "" || text == missing {
		return ""
	}
	return path + " " + text
}

const missing = "is missing"

// maxInterpreters is the number of interpreters that the kernel follows, and one
// more for the ELF interpreter.
const maxInterpreters = 5 + 1

// fault returns the reason why a file cannot be executed, for example "is
// missing" or "is a directory", or "".
func (in *inspector) fault(path string, e unix.Errno, left int) string {
	if left == 0 {
		return "has too many interpreters"
	}
	if text := in.accessFault(path); text != "" {
		return text
	}
	head, err := in.read(path, headSize, 0)
	if err != nil {
		return "" // an unreadable file can still be executed
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

// accessFault checks the file's type, mount and permissions, not its content.
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

// missing tells a missing name from a symlink with a missing target.
func (in *inspector) missing(path string) string {
	var b remote.Batch
	r, buf := b.Readlinkat(remote.Cwd(), path)
	r.TolerateAll()
	if in.ask(&b) == nil && r.Errno() == 0 && r.Value() <= int64(len(buf.Bytes())) {
		return "is a symlink to " + strconv.Quote(string(buf.First(r.Value()))) + ", which is missing"
	}
	return missing
}

// fileFault returns the fault that stat, statfs and access show.
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

// read returns at most n bytes of a file from off on. The file was a regular file
// at the last look. O_NONBLOCK and O_NOCTTY protect the stub if it has become
// something else.
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
