package libcontainer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
	"github.com/onggi-dev/onggi/specconv"
)

// writeIDMaps maps the ids of a new user namespace (user_namespaces(7)). The runtime
// writes the maps itself if it may. Otherwise it calls newuidmap(1) and newgidmap(1),
// which know the user's ids in /etc/subuid and /etc/subgid.
func writeIDMaps(pid int, s plan.IDMaps) error {
	if os.Geteuid() == 0 {
		return errors.Join(writeMap(pid, "uid_map", s.UIDs), writeMap(pid, "gid_map", s.GIDs))
	}
	if ownOnly(s.UIDs, os.Geteuid()) && ownOnly(s.GIDs, os.Getegid()) {
		// A process without privilege over its groups must not be able to drop any
		// (CVE-2014-8989).
		if err := proc.WriteFile(pid, "setgroups", "deny"); err != nil {
			return err
		}
		return errors.Join(writeMap(pid, "uid_map", s.UIDs), writeMap(pid, "gid_map", s.GIDs))
	}
	if err := helperMap("newuidmap", pid, s.UIDs); err != nil {
		return err
	}
	return helperMap("newgidmap", pid, s.GIDs)
}

// deniesGroups reports whether setgroups(2) will be denied in a container that is to be
// created. If the container joins the user namespace /proc/PID/ns/user, that process has
// the answer. For a joined namespace with another path nothing is known beforehand.
func deniesGroups(spec *specs.Spec) bool {
	l := spec.Linux
	if n := specconv.Namespace(spec, specs.UserNamespace); n != nil && n.Path != "" {
		dir, ok := strings.CutSuffix(n.Path, "/ns/user")
		return ok && groupsDeniedIn(dir)
	}
	if l != nil && os.Geteuid() != 0 && ownOnly(l.UIDMappings, os.Geteuid()) && ownOnly(l.GIDMappings, os.Getegid()) {
		return true
	}
	return groupsDenied(os.Getpid()) // a new user namespace inherits this
}

// checkGroups refuses additional groups that the process could not have.
func checkGroups(host plan.Host, spec *specs.Spec, p *specs.Process) error {
	if !host.KeepGroups || p == nil || len(p.User.AdditionalGids) == 0 || specconv.On(spec, specconv.KeepOriginalGroups) {
		return nil
	}
	return &Failure{Field: "/process/user/additionalGids", Hint: "setgroups is denied in a user namespace that an ordinary user has made without newgidmap", Err: unix.EPERM}
}

// groupsDenied reports whether setgroups(2) is denied in the user namespace of a process
// (user_namespaces(7)).
func groupsDenied(pid int) bool { return groupsDeniedIn("/proc/" + strconv.Itoa(pid)) }

func groupsDeniedIn(dir string) bool {
	text, err := os.ReadFile(dir + "/setgroups")
	return err == nil && bytes.HasPrefix(text, []byte("deny"))
}

// ownOnly reports whether a mapping has only the caller's own id. An unprivileged process
// may write no other.
func ownOnly(list []specs.LinuxIDMapping, id int) bool {
	return len(list) == 1 && list[0].Size == 1 && int(list[0].HostID) == id
}

func writeMap(pid int, file string, list []specs.LinuxIDMapping) error {
	var b bytes.Buffer
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return proc.WriteFile(pid, file, b.String())
}

func helperMap(program string, pid int, list []specs.LinuxIDMapping) error {
	args := []string{strconv.Itoa(pid)}
	for _, m := range list {
		args = append(args, strconv.FormatUint(uint64(m.ContainerID), 10), strconv.FormatUint(uint64(m.HostID), 10), strconv.FormatUint(uint64(m.Size), 10))
	}
	path, err := exec.LookPath(program)
	if err != nil {
		// These are not the words of os/exec: engines take those for an error of the
		// container's program.
		return fmt.Errorf("an ordinary user needs %s(1) to map ids that are not its own, and it is not installed (Debian: uidmap)", program)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
}
