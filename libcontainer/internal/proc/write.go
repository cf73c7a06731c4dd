package proc

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// WriteFile writes text to a file of a process in the host's procfs, in one write(2):
// the kernel accepts an id map and clock offsets only whole (user_namespaces(7),
// time_namespaces(7)).
func WriteFile(pid int, name, text string) error {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open(%q, O_WRONLY): %w", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("write(%q, %q): %w", path, text, err)
	}
	return nil
}
