package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstExtraFD is the descriptor after standard input, output and error.
const firstExtraFD = 3

// listenFDs returns the number of descriptors that a service manager has passed
// (sd_listen_fds(3)). LISTEN_PID may be unset: an engine that passes descriptors on cannot
// know onggi's pid before it starts onggi.
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

// openFiles returns the first n descriptors after standard error. A descriptor that onggi
// has opened itself is close-on-exec, and an inherited one is not. So openFiles finds a gap
// in the caller's descriptors, and passes none of onggi's own to a container.
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
