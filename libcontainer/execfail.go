package libcontainer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// namespaces are those that the container's files are seen from. Held, they
// outlive its processes: what a failed execve was about can be looked at after
// the process that failed is gone.
type namespaces struct{ user, mount *os.File }

// ioctls of a pidfd (<linux/pidfd.h>), since Linux 6.11.
const (
	pidfdGetMountNamespace = 0xff03
	pidfdGetPIDNamespace   = 0xff05
	pidfdGetUserNamespace  = 0xff09
)

// hold opens the namespaces of a process of the container. What cannot be had
// stays nil: without it an explanation is missing, nothing else.
func hold(pidfd *os.File, pid int) namespaces {
	return namespaces{
		user:  holdOne(pidfd, pidfdGetUserNamespace, pid, "user"),
		mount: holdOne(pidfd, pidfdGetMountNamespace, pid, "mnt"),
	}
}

func holdOne(pidfd *os.File, request uint, pid int, name string) *os.File {
	fd, err := unix.IoctlRetInt(int(pidfd.Fd()), request)
	if err == nil {
		return os.NewFile(uintptr(fd), name)
	}
	// The pid is still that of the process: it has not been reaped, as its pidfd
	// has shown a moment ago. A wrong guess explains wrongly, no more.
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/" + name)
	if err != nil {
		return nil
	}
	return f
}

func (n namespaces) close() {
	for _, f := range []*os.File{n.user, n.mount} {
		if f != nil {
			f.Close()
		}
	}
}

// execFailure explains the errno of a failed execve: the file is looked at from
// inside of the container.
func (n namespaces) execFailure(ctx context.Context, spec *specs.Spec, p *specs.Process, e unix.Errno) error {
	f := &Failure{Field: "/process/args/0", Step: "exec " + p.Args[0], Errno: e}
	if n.user != nil && n.mount != nil && hasMountNamespace(spec) {
		f.Hint = engine.Inspect(ctx, engine.Inspection{User: n.user, Mount: n.mount, Process: p, Errno: e})
	}
	if f.Hint == "" {
		f.Hint = execHint(e)
	}
	return f
}

// neverExecuted says why a process whose gate is closed has not executed its
// program; nil if it has. The end of the status file is the same for both: the
// kernel closes it with an execve and with the process. A process that goes on
// has executed. Of one that ends, the kernel keeps the name of what it was last,
// and the name of a stub is not that of a program.
func neverExecuted(pid int, p *specs.Process) error {
	st, err := proc.ReadStat(pid)
	if err != nil || !st.Exiting() || !stubName(st.Comm) || st.Comm == filepath.Base(p.Args[0]) {
		return nil //nolint:nilerr // its parent has collected it: nobody knows any more
	}
	f := &Failure{Field: "/process/args/0", Step: fmt.Sprintf("exec %q", p.Args[0])}
	switch sig := unix.Signal(st.Exit & 0x7f); sig {
	case 0, unix.SIGILL, unix.SIGSYS:
		f.Hint = "the seccomp profile has to allow execve, and write and exit_group for the case that it fails"
		f.Err = fmt.Errorf("the process was denied execve, and to say so: %w", unix.EPERM)
	default:
		f.Err = fmt.Errorf("the process was killed by %s before it executed the program", proc.SignalName(sig))
	}
	return f
}

// stubName tells whether the kernel calls a process so that was executed from a
// descriptor: by the name of the file since Linux 6.14, before by the number.
func stubName(comm string) bool {
	return comm == "memfd:onggi" || comm == "onggi" || comm != "" && strings.Trim(comm, "0123456789") == ""
}

// hasMountNamespace: without one, the container's files cannot be told from the
// host's by the namespace.
func hasMountNamespace(spec *specs.Spec) bool {
	return spec.Linux != nil && slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
}

// execHint says what an errno of execve(2) is usually about, for a file that
// has been found before.
func execHint(e unix.Errno) string {
	switch e {
	case unix.ENOENT:
		return "the file was there: its ELF interpreter, or the program that its #! line names, may not be"
	case unix.ENOEXEC:
		return "neither an ELF image of this machine nor a script with a #! line"
	case unix.EACCES:
		return "not executable for this user, on a noexec mount, or refused by a security module"
	case unix.EPERM:
		return "the security policy forbids it, or the seccomp filter could not be loaded"
	case unix.E2BIG:
		return "arguments and environment are longer than the kernel takes"
	case unix.ETXTBSY:
		return "a process has the file open for writing"
	}
	return ""
}
