package cgroup

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Mode is the layout of the host's cgroup hierarchies.
type Mode int

const (
	V1     Mode = iota + 1 // v1 hierarchies only
	Hybrid                 // v1 hierarchies and a cgroup2 one
	V2                     // cgroup2 only
)

func (m Mode) String() string {
	switch m {
	case V1:
		return "v1"
	case Hybrid:
		return "hybrid"
	case V2:
		return "v2"
	}
	return "none"
}

// Hierarchy is one mounted cgroup hierarchy.
type Hierarchy struct {
	Controllers []string // in the kernel's order, "name=systemd" included; nil for cgroup2
	Mountpoint  string
	Root        string // the cgroup mounted at Mountpoint, as named in /proc/self/cgroup; "" for "/"
	Own         string // the runtime's own cgroup, relative to Mountpoint; begins with "/"
}

// Host describes the host's hierarchies, as seen from this mount namespace.
type Host struct {
	Mode        Mode
	Hierarchies []Hierarchy // v1, in the order of /proc/self/cgroup
	Unified     *Hierarchy  // cgroup2, nil if not mounted
}

// unifiedMountpoint is the mountpoint of cgroup2 on a pure v2 host, the same for
// every distribution.
const unifiedMountpoint = "/sys/fs/cgroup"

// Detect finds the host's hierarchies. On a v2 host it takes one statfs and one
// read of /proc/self/cgroup. On others it also reads /proc/self/mountinfo, up to
// the line of the last hierarchy.
func Detect() (*Host, error) {
	own, err := readPath("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(unifiedMountpoint, &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return v2Host(own), nil
	}
	f, err := openLines("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.close()
	h := mountedHost(own, f.next)
	if f.err != nil {
		return nil, f.err
	}
	if h.Mode == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted")
	}
	return h, nil
}

// v2Host returns the Host of a pure v2 host, from the text of /proc/self/cgroup.
func v2Host(own string) *Host {
	u := &Hierarchy{Mountpoint: unifiedMountpoint, Own: "/"}
	for _, m := range memberships(own) {
		if m.controllers == nil {
			u.Own = below("/", m.path)
		}
	}
	return &Host{Mode: V2, Unified: u}
}

// mountedHost joins the hierarchies of /proc/self/cgroup with their mounts. next
// yields the lines of mountinfo. mountedHost stops calling it once it has found the
// standard mount of every hierarchy.
func mountedHost(own string, next func() ([]byte, bool)) *Host {
	ms := memberships(own)
	mounts := make([]mount, len(ms))
	for missing := len(ms); missing > 0; {
		line, ok := next()
		if !ok {
			break
		}
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		i := m.hierarchy(ms)
		if i < 0 || mounts[i].standard() {
			continue
		}
		if mounts[i].point == "" || m.standard() {
			mounts[i] = m
		}
		if m.standard() {
			missing--
		}
	}
	return assemble(ms, mounts)
}

// assemble builds the Host from the hierarchies that are mounted.
func assemble(ms []membership, mounts []mount) *Host {
	h := &Host{Hierarchies: make([]Hierarchy, 0, len(mounts))}
	for i, m := range mounts {
		if m.point == "" {
			continue
		}
		x := Hierarchy{Controllers: ms[i].controllers, Mountpoint: m.point, Own: below(m.root, ms[i].path)}
		if m.root != "/" {
			x.Root = m.root
		}
		if x.Controllers == nil {
			h.Unified = &x
		} else {
			h.Hierarchies = append(h.Hierarchies, x)
		}
	}
	switch {
	case h.Unified != nil && len(h.Hierarchies) > 0:
		h.Mode = Hybrid
	case h.Unified != nil:
		h.Mode = V2
	case len(h.Hierarchies) > 0:
		h.Mode = V1
	}
	if len(h.Hierarchies) == 0 {
		h.Hierarchies = nil
	}
	return h
}

// membership is one line of /proc/PID/cgroup: "4:cpu,cpuacct:/path".
type membership struct {
	controllers []string // nil for cgroup2 ("0::/path")
	path        string
}

// memberships parses /proc/PID/cgroup. The path may contain colons.
func memberships(text string) []membership {
	ms := make([]membership, 0, strings.Count(text, "\n")+1)
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		names, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		m := membership{path: path}
		if names != "" {
			m.controllers = strings.Split(names, ",")
		}
		ms = append(ms, m)
	}
	return ms
}

// mount is a cgroup mount of mountinfo.
type mount struct {
	v2      bool
	root    string // the cgroup mounted at point
	point   string
	options string // superblock options: "rw,cpu,cpuacct"
}

// standard reports whether the mountpoint is below /sys/fs/cgroup, where other
// programs look for it. One hierarchy can have several mounts, for example those of
// containers.
func (m mount) standard() bool { return strings.HasPrefix(m.point, unifiedMountpoint+"/") }

// hierarchy returns the index in ms of the hierarchy that m mounts, or -1.
func (m mount) hierarchy(ms []membership) int {
	options := strings.Split(m.options, ",")
	for i, x := range ms {
		if m.v2 != (x.controllers == nil) {
			continue
		}
		if m.v2 || contains(options, x.controllers[0]) {
			return i
		}
	}
	return -1
}

// parseMount parses one line of mountinfo. It returns false if the line is not a
// cgroup mount:
//
//	36 31 0:33 /root /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices
func parseMount(line []byte) (mount, bool) {
	if !bytes.Contains(line, []byte(" - cgroup")) {
		return mount{}, false
	}
	head, tail, _ := strings.Cut(string(line), " - cgroup")
	fields := strings.Fields(head)
	rest := strings.Fields(tail)
	if len(fields) < 6 || len(rest) < 2 {
		return mount{}, false
	}
	return mount{
		v2:      strings.HasPrefix(tail, "2 "),
		root:    unescape(fields[3]),
		point:   unescape(fields[4]),
		options: rest[len(rest)-1],
	}, true
}

// unescape decodes the octal escapes of mountinfo (space, tab, newline, backslash).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// below returns the cgroup path relative to a mount whose root is the cgroup root.
// A path outside of that mount has no name there (another cgroup namespace's "/..",
// a bind mount of a sibling). In that case below returns the mount's own root, "/".
func below(root, path string) string {
	if hasDotDot(path) {
		return "/"
	}
	if root == "/" || hasDotDot(root) {
		return path
	}
	if path == root {
		return "/"
	}
	if rest, ok := strings.CutPrefix(path, root+"/"); ok {
		return "/" + rest
	}
	return "/"
}
