package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

// entry is the way of a further process into the container's cgroup.
type entry int

const (
	moves  entry = iota // the stub moves there
	born                // the kernel creates it in the cgroup2 cgroup
	guided              // the runtime side moves it, before it executes its program
)

// A process that joins a pid namespace is a child of the stub, which is in the cgroup
// too. So it takes two of the processes that pids.max allows. If only one is left, the
// clone fails. Then the stub stays outside of the cgroup, and the clone waits there until
// the runtime side has moved it.
//
// The container can see the clone while that is outside of its limits. The clone has its
// final credentials and is undumpable: only a process with CAP_SYS_PTRACE in the stub's
// user namespace could take control of it and fork outside of the limits. If the pid
// namespace has such a process, or one that can become it, the exec fails.

// crowded reports whether err is a clone that the limit on processes has refused.
func crowded(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Errno == unix.EAGAIN && strings.HasPrefix(f.Syscall, "clone(")
}

// guide moves a process to the cgroup and lets it execute its program. The kernel checks
// pids.max at a fork and not at a move (cgroup-v2.rst, "PID"), so guide checks it.
func guide(pid int, paths cgroup.Paths, gate *os.File) error {
	if err := paths.Join(pid); err != nil {
		return err
	}
	over, err := paths.TooManyProcesses()
	if err == nil && over {
		err = unix.EAGAIN
	}
	if err == nil {
		_, err = gate.Write([]byte{0})
	}
	return err
}

// canBeTraced reports whether a process of the container's pid namespace can trace an
// undumpable process, now or after an execve. It can if its bounding set has
// CAP_SYS_PTRACE and its user namespace is the runtime's. An error counts as yes.
func (c *Container) canBeTraced() bool {
	pidns, err := namespaceOf(c.record.Init.Pid, "pid")
	if err != nil {
		return true
	}
	userns, err := namespaceOf(os.Getpid(), "user")
	if err != nil {
		return true
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return true
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return true
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if ns, err := namespaceOf(pid, "pid"); err != nil || ns != pidns {
			continue // it ended, or sees other processes
		}
		if ns, err := namespaceOf(pid, "user"); err == nil && ns == userns && mayTrace(pid) {
			return true
		}
	}
	return false
}

func namespaceOf(pid int, name string) (string, error) {
	return os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", name))
}

// mayTrace reports whether the bounding set of a process has CAP_SYS_PTRACE.
func mayTrace(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false // it ended
	}
	_, rest, _ := strings.Cut(string(status), "\nCapBnd:\t")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(line, 16, 64)
	return err != nil || caps&(1<<unix.CAP_SYS_PTRACE) != 0
}
