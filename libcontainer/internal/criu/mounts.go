package criu

import (
	"fmt"
	"strconv"
	"strings"
)

// Mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID, Parent int
	Device     string // major:minor of the superblock
	Root       string // mounted directory of the file system
	Point      string // mountpoint, relative to the root of the process
	Options    string // of the mount
	Peers      string // optional fields: propagation
	Type       string
	Source     string
	Super      string // options of the superblock
}

// ParseMounts parses mountinfo. An unknown form is an error: CRIU would dump or
// restore an overlooked mount wrongly.
func ParseMounts(text string) ([]Mount, error) {
	var out []Mount
	for line := range strings.Lines(text) {
		m, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMount(line string) (m Mount, err error) {
	left, right, ok := strings.Cut(line, " - ")
	l, r := strings.Split(left, " "), strings.SplitN(right, " ", 3)
	if !ok || len(l) < 6 || len(r) != 3 {
		return m, fmt.Errorf("mountinfo: unknown line %q", line)
	}
	if m.ID, err = strconv.Atoi(l[0]); err == nil {
		m.Parent, err = strconv.Atoi(l[1])
	}
	if err != nil {
		return m, fmt.Errorf("mountinfo: unknown line %q", line)
	}
	m.Device, m.Root, m.Point, m.Options = l[2], unescape(l[3]), unescape(l[4]), l[5]
	m.Peers = strings.Join(l[6:], " ")
	m.Type, m.Source, m.Super = r[0], unescape(r[1]), r[2]
	return m, nil
}

// unescape replaces the kernel's \ooo for blanks, tabs, newlines and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Externals returns the mounts of a container that CRIU must not dump. The restore
// tells CRIU their sources again. host are the mounts of the runtime's mount
// namespace.
//
// CRIU dumps proc, sysfs, devpts, mqueue, a tmpfs that only the container has
// mounted, and mounts of directories in the container's root file system. All other
// mounts show files that exist outside the container.
func Externals(container, host []Mount) (root Mount, out []Mount, err error) {
	i := lastAt(container, "/")
	if i < 0 {
		return root, nil, fmt.Errorf("the container's mounts have no root")
	}
	root = container[i]
	for j, m := range container {
		if j == i || m.native(root, container, host) {
			continue
		}
		if strings.ContainsAny(m.Point, "]\n") {
			return root, nil, fmt.Errorf("mount on %q: CRIU cannot handle this name", m.Point)
		}
		out = append(out, m)
	}
	return root, out, nil
}

// lastAt returns the index of the topmost mount on a path, or -1.
func lastAt(mounts []Mount, point string) int {
	at := -1
	for i, m := range mounts {
		if m.Point == point {
			at = i
		}
	}
	return at
}

func (m *Mount) native(root Mount, container, host []Mount) bool {
	switch m.Type {
	case "proc", "sysfs", "devpts", "mqueue":
		return true
	case "tmpfs":
		return wholeIn(container, m.Device) && !anyOf(host, m.Device)
	}
	return m.Device == root.Device && below(m.Root, root.Root)
}

// wholeIn reports whether the root of a superblock is mounted. CRIU can then read
// the whole file system.
func wholeIn(mounts []Mount, device string) bool {
	for _, m := range mounts {
		if m.Device == device && m.Root == "/" {
			return true
		}
	}
	return false
}

func anyOf(mounts []Mount, device string) bool {
	for _, m := range mounts {
		if m.Device == device {
			return true
		}
	}
	return false
}

func below(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}
