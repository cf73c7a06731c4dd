package libcontainer

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// namespaces are those in which the container's files are visible. An open descriptor
// keeps them after the end of their processes. So the cause of a failed execve can be
// examined when the process that failed is gone.
type namespaces struct{ user, mount *os.File }

// ioctl requests of a pidfd (<linux/pidfd.h>), since Linux 6.11.
const (
	pidfdGetMountNamespace = 0xff03
	pidfdGetPIDNamespace   = 0xff05
	pidfdGetUserNamespace  = 0xff09
)

// hold opens the namespaces of a process of the container. A namespace that cannot be
// opened stays nil: then an explanation is missing, and nothing else.
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
	// The pid still belongs to the process: its pidfd has shown a moment ago that it
	// was not reaped. If it was reaped since, only the explanation is wrong.
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

// execFailure explains the errno of a failed execve. A stub looks at the file from inside
// the container.
func (n namespaces) execFailure(ctx context.Context, spec *specs.Spec, p *specs.Process, e unix.Errno) error {
	f := &Failure{Field: "/process/args/0", Step: "exec " + p.Args[0], Errno: e}
	if e == unix.E2BIG {
		tooBig(f, p)
		return f
	}
	if n.user != nil && n.mount != nil && hasMountNamespace(spec) {
		f.Hint = engine.Inspect(ctx, engine.Inspection{User: n.user, Mount: n.mount, Process: p, Errno: e})
	}
	if f.Hint == "" {
		f.Hint = execHint(e)
	}
	return f
}

// tooBig names the strings that are over the kernel's limit for one string, or says
// how long all of them are together (execve(2), "Limits on size of arguments and
// environment").
func tooBig(f *Failure, p *specs.Process) {
	for field, said := range longStrings(p) {
		f.Field, f.Hint = field, said
		return
	}
	total := 0
	for _, s := range slices.Concat(p.Args, p.Env) {
		total += len(s) + 1
	}
	f.Field = "/process/args"
	f.Hint = fmt.Sprintf("args and env have %d bytes together, and the kernel takes a quarter of RLIMIT_STACK, from 128 KiB to 6 MiB", total)
}

// longStrings are the fields with a string that execve(2) refuses, and why.
func longStrings(p *specs.Process) iter.Seq2[string, string] {
	most := 32 * os.Getpagesize() // MAX_ARG_STRLEN of <linux/binfmts.h>, with the final NUL
	return func(yield func(field, said string) bool) {
		for _, list := range []struct {
			field   string
			strings []string
		}{{"/process/args/", p.Args}, {"/process/env/", p.Env}} {
			for i, s := range list.strings {
				if len(s) >= most && !yield(list.field+strconv.Itoa(i), fmt.Sprintf("%d bytes are over the kernel's limit of %d KiB for one string", len(s), most>>10)) {
					return
				}
			}
		}
	}
}

// neverExecuted returns the reason why a process has not executed its program, or nil if
// it has. The status file cannot tell: the kernel closes it at an execve and at the end
// of the process. A process that still runs has executed its program. For a process that
// has ended, the kernel keeps its last name, and the stub's name is not that of a
// program.
func neverExecuted(pid int, p *specs.Process) error {
	st, err := proc.ReadStat(pid)
	if err != nil || !st.Exiting() || !stubName(st.Comm) || st.Comm == filepath.Base(p.Args[0]) {
		return nil //nolint:nilerr // the process was reaped, so nobody knows any more
	}
	f := &Failure{Field: "/process/args/0", Step: fmt.Sprintf("exec %q", p.Args[0])}
	switch sig := unix.Signal(st.Exit & 0x7f); sig {
	case 0, unix.SIGILL, unix.SIGSYS:
		f.Hint = "the seccomp profile has to allow execve, and write and exit_group for the case that it fails"
		f.Err = fmt.Errorf("the process could neither execute the program nor report the error: %w", unix.EPERM)
	default:
		f.Err = fmt.Errorf("the process was killed by %s before it executed the program", proc.SignalName(sig))
	}
	return f
}

// deniedBySeccomp names the seccomp profile as the likely cause of a stub's death, if the
// container has one.
func deniedBySeccomp(spec *specs.Spec, err error) error {
	if spec.Linux == nil || spec.Linux.Seccomp == nil || !engine.Denied(err) {
		return err
	}
	return &Failure{Field: "/linux/seccomp", Step: "load the filter and execute the program", Hint: "the profile probably denies a call that this takes: it has to allow read, write, execve and exit_group, and capset without no_new_privs", Err: err}
}

// stubName reports whether comm is a name that the kernel gives to a program executed from
// a descriptor: the name of the file since Linux 6.14, the descriptor's number before.
func stubName(comm string) bool {
	return comm == "memfd:onggi" || comm == "onggi" || comm != "" && strings.Trim(comm, "0123456789") == ""
}

// hasMountNamespace reports whether the container has a mount namespace. Without one, the
// namespace does not tell the container's files from the host's.
func hasMountNamespace(spec *specs.Spec) bool {
	return specconv.Namespace(spec, specs.MountNamespace) != nil
}

// execHint returns the usual cause of an errno of execve(2), for a file that has been
// found before.
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
	case unix.ETXTBSY:
		return "a process has the file open for writing"
	}
	return ""
}
