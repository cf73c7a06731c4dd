package hooks

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/slack"
)

// startHere starts the command on the runtime side. It only forks and executes.
// os/exec would add goroutines that copy the output and also wait for the hook's
// children, and 180 KB of binary.
func startHere(c Command) (*Process, error) {
	extra, err := inheritable()
	if err != nil {
		return nil, err
	}
	pidfd := -1
	files := append([]uintptr{c.Stdin.Fd(), c.Stdout.Fd(), c.Stderr.Fd()}, extra...)
	runtime.LockOSThread() // the thread that gets the slack forks
	defer runtime.UnlockOSThread()
	slack.Set(slack.OfCaller())
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   c.Inherited(),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
	})
	if err != nil {
		return nil, startError(c, err)
	}
	return &Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd:"+strconv.Itoa(pid))}, nil
}

// startError tells whether chdir or execve failed: ForkExec returns the errno
// alone.
func startError(c Command, err error) error {
	if dirErr := unix.Access(c.Dir, unix.X_OK); c.Dir != "" && dirErr != nil {
		return fmt.Errorf("chdir(%q): %w", c.Dir, dirErr)
	}
	return fmt.Errorf("fork/exec %s: %w", c.Path, err)
}

// inheritable returns the entries of ProcAttr.Files from 3 on. They close, in the
// child, the descriptors that this process inherited and that are not
// close-on-exec. Setting that flag here instead would change descriptors of the
// caller.
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
