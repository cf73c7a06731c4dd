package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// notify sends each argument as a message to the service manager (sd_notify(3)), and waits until the manager has read them
// (sd_notify_barrier(3)).
func notify(messages []string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	for _, m := range messages {
		if err := unix.Sendto(fd, []byte(m), 0, to); err != nil {
			return fmt.Errorf("send %q to %q: %w", m, to.Name, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(fd, []byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), to, 0); err != nil {
		return err
	}
	w.Close()
	r.Read(make([]byte, 1))
	return nil
}
