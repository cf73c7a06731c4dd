package libcontainer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// writeIDMaps maps the ids of a new user namespace (user_namespaces(7)): by
// ourselves where we may, else by newuidmap(1) and newgidmap(1), which know
// what the user has been given in /etc/subuid and /etc/subgid.
func writeIDMaps(pid int, s plan.IDMaps) error {
	if os.Geteuid() == 0 {
		return errors.Join(writeMap(pid, "uid_map", s.UIDs), writeMap(pid, "gid_map", s.GIDs))
	}
	if ownOnly(s.UIDs, os.Geteuid()) && ownOnly(s.GIDs, os.Getegid()) {
		// Without a privilege over its groups the process must not drop any
		// (CVE-2014-8989).
		if err := writeProcFile(pid, "setgroups", "deny"); err != nil {
			return err
		}
		return errors.Join(writeMap(pid, "uid_map", s.UIDs), writeMap(pid, "gid_map", s.GIDs))
	}
	return errors.Join(helperMap("newuidmap", pid, s.UIDs), helperMap("newgidmap", pid, s.GIDs))
}

// ownOnly: an unprivileged process may map its own id, and nothing else.
func ownOnly(list []specs.LinuxIDMapping, id int) bool {
	return len(list) == 1 && list[0].Size == 1 && int(list[0].HostID) == id
}

func writeMap(pid int, file string, list []specs.LinuxIDMapping) error {
	var b bytes.Buffer
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return writeProcFile(pid, file, b.String())
}

func writeProcFile(pid int, file, text string) error {
	path := "/proc/" + strconv.Itoa(pid) + "/" + file
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

func helperMap(program string, pid int, list []specs.LinuxIDMapping) error {
	args := []string{strconv.Itoa(pid)}
	for _, m := range list {
		args = append(args, strconv.FormatUint(uint64(m.ContainerID), 10), strconv.FormatUint(uint64(m.HostID), 10), strconv.FormatUint(uint64(m.Size), 10))
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %v: %w: %s", program, args, err, bytes.TrimSpace(out))
}
