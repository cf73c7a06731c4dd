package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstExtraFD is the descriptor after standard input, output and error.
const firstExtraFD = 3

// listenFDs is the number of descriptors that a service manager passed to us,
// as sd_listen_fds(3) says. LISTEN_PID may be unset, since engines that hand
// descriptors on cannot know our process id before they start us.
func listenFDs(getenv func(string) string) (int, error) {
	count, pid := getenv("LISTEN_FDS"), getenv("LISTEN_PID")
	if count == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseUint(count, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("LISTEN_FDS=%s in the environment is not a number of descriptors", count)
	}
	return int(n), nil
}

// openFiles takes the first n descriptors after standard error. What we opened
// ourselves is close-on-exec, and what we inherited cannot be: so a gap in the
// caller's descriptors is found, and nothing of ours gets into a container.
func openFiles(n int) ([]*os.File, error) {
	files := make([]*os.File, 0, n)
	for fd := firstExtraFD; fd < firstExtraFD+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("unable to stat preserved-fd %d (of %d): descriptor %d is not open", fd-firstExtraFD, n, fd)
		}
		unix.CloseOnExec(fd)
		files = append(files, os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd)))
	}
	return files, nil
}
