package hooks

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// startHere starts the command on the runtime side. It is fork and execve
// alone: os/exec would make goroutines to copy the output, which wait for the
// hook's children too, and 180 KB of binary.
func startHere(c Command) (*Process, error) {
	extra, err := inheritable()
	if err != nil {
		return nil, err
	}
	pidfd := -1
	files := append([]uintptr{c.Stdin.Fd(), c.Stdout.Fd(), c.Stderr.Fd()}, extra...)
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
	})
	if err != nil {
		return nil, startError(c, err)
	}
	return &Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd:"+strconv.Itoa(pid))}, nil
}

// startError finds out whether the errno was of the chdir or of the execve:
// ForkExec gives it without saying.
func startError(c Command, err error) error {
	if dirErr := unix.Access(c.Dir, unix.X_OK); c.Dir != "" && dirErr != nil {
		return fmt.Errorf("chdir(%q): %w", c.Dir, dirErr)
	}
	return fmt.Errorf("fork/exec %s: %w", c.Path, err)
}

// inheritable makes the entries of ProcAttr.Files from 3 on that close, in the
// child, whatever this process was started with and that is not close-on-exec.
// To set that flag on them would be to change the caller's descriptors.
func inheritable() ([]uintptr, error) {
	fds, err := openFds()
	if err != nil {
		return nil, err
	}
	var extra []uintptr
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		for len(extra) <= fd-3 {
			extra = append(extra, ^uintptr(0))
		}
	}
	return extra, nil
}

func openFds() ([]int, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	var fds []int
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd > 2 {
			fds = append(fds, fd)
		}
	}
	return fds, errors.Join(err)
}
