package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host is the place of resctrl. The zero value is this machine.
type Host struct {
	Root string // where it is mounted; "" is to be found out
	// Mkdir replaces mkdir(2) in tests, where no kernel fills a new group's
	// directory. nil is mkdir(2).
	Mkdir func(path string, mode uint32) error
}

// ErrNotMounted means that the runtime cannot use resctrl here.
var ErrNotMounted = errors.New("intelRdt is specified in config, but Intel RDT is not enabled: resctrl is not mounted, or the CPUs have nothing to control")

func (h Host) root() (string, error) {
	if h.Root != "" {
		return h.Root, nil
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	root := findMount(string(data))
	if root == "" {
		return "", ErrNotMounted
	}
	return root, nil
}

// findMount finds the mountpoint in a mountinfo (proc_pid_mountinfo(5)).
func findMount(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		front, back, ok := strings.Cut(line, " - ")
		fields := strings.Fields(front)
		if ok && len(fields) > 4 && strings.HasPrefix(back, "resctrl ") {
			return fields[4]
		}
	}
	return ""
}

// Group is the class of service and the monitoring group of a container.
type Group struct {
	Dir string // the class of service
	Mon string // the monitoring group in it, "" for none

	own   bool // named after the container: made for it
	rdt   *specs.LinuxIntelRdt
	mkdir func(path string, mode uint32) error
}

// Group decides on the group of a container. It creates nothing.
func (h Host) Group(id string, rdt *specs.LinuxIntelRdt) (*Group, error) {
	root, err := h.root()
	if err != nil {
		return nil, err
	}
	g := &Group{rdt: rdt, own: rdt.ClosID == "", mkdir: h.Mkdir}
	if g.mkdir == nil {
		g.mkdir = unix.Mkdir
	}
	switch rdt.ClosID {
	case "":
		g.Dir = filepath.Join(root, id)
	case "/":
		g.Dir = root
	default:
		g.Dir = filepath.Join(root, rdt.ClosID)
	}
	if rdt.EnableMonitoring {
		g.Mon = filepath.Join(g.Dir, "mon_groups", id)
	}
	return g, nil
}

// Dirs returns the directories that the container's processes join.
func (g *Group) Dirs() []string {
	if g.Mon == "" {
		return []string{g.Dir}
	}
	return []string{g.Dir, g.Mon}
}

// Removable returns the directories that Create will create and Delete has to
// remove, in the order of creation. A directory that exists already is not ours.
func (g *Group) Removable() []string {
	dirs := g.Dirs()
	if !g.own {
		dirs = dirs[1:]
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return unix.Access(dir, unix.F_OK) == nil })
}

// Create creates the missing parts of the group. After a failure it has removed
// everything that it created.
func (g *Group) Create() error {
	made, err := g.makeDir()
	if err == nil && g.Mon != "" {
		err = g.makeMon()
	}
	if err != nil && made {
		_ = unix.Rmdir(g.Dir)
	}
	return err
}

// schemata returns the lines to write, in their order.
func (g *Group) schemata() []string {
	var lines []string
	for _, l := range append([]string{g.rdt.L3CacheSchema, g.rdt.MemBwSchema}, g.rdt.Schemata...) {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func (g *Group) makeDir() (made bool, err error) {
	lines := g.schemata()
	exists := unix.Access(g.Dir, unix.F_OK) == nil
	switch {
	case exists && g.own:
		return false, &os.PathError{Op: "mkdir", Path: g.Dir, Err: unix.EEXIST}
	case exists:
		return false, g.compare(lines)
	case len(lines) == 0 && !g.own:
		return false, fmt.Errorf("there is no class of service %s, and no schema is given to make it: %w", g.Dir, unix.ENOENT)
	}
	if err := g.mkdir(g.Dir, 0o755); err != nil {
		return false, noSpace(&os.PathError{Op: "mkdir", Path: g.Dir, Err: err}, "the CPUs have no class of service left")
	}
	if err := g.write(lines); err != nil {
		_ = unix.Rmdir(g.Dir)
		return false, err
	}
	return true, nil
}

func (g *Group) makeMon() error {
	if err := g.mkdir(g.Mon, 0o755); err != nil {
		return noSpace(&os.PathError{Op: "mkdir", Path: g.Mon, Err: err}, "the CPUs have no monitoring group left")
	}
	return nil
}

func noSpace(err error, text string) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%s: %w", text, err)
	}
	return err
}

// compare checks that an existing class of service is the requested one.
func (g *Group) compare(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	data, err := os.ReadFile(g.file("schemata"))
	if err != nil {
		return err
	}
	for _, l := range lines {
		if !contains(string(data), l) {
			return fmt.Errorf("class of service %s exists, and its schemata have no %q", g.Dir, l)
		}
	}
	return nil
}

// contains reports whether schemata include everything that a line says. The
// kernel prints schemata padded with zeros and blanks, with all domains.
func contains(schemata, line string) bool {
	name, values, _ := strings.Cut(line, ":")
	for have := range strings.Lines(schemata) {
		haveName, haveValues, _ := strings.Cut(have, ":")
		if strings.TrimSpace(haveName) != strings.TrimSpace(name) {
			continue
		}
		all := domains(haveValues)
		for id, v := range domains(values) {
			if value, ok := all[id]; !ok || value != v {
				return false
			}
		}
		return true
	}
	return false
}

// domains parses "0=7f0;1=01f".
func domains(s string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		id, v, _ := strings.Cut(part, "=")
		out[strings.TrimSpace(id)] = strings.ToLower(strings.TrimLeft(strings.TrimSpace(v), "0"))
	}
	return out
}

// write writes lines one by one. A refusal includes the kernel's own reason.
func (g *Group) write(lines []string) error {
	for _, l := range lines {
		if err := writeFile(g.file("schemata"), l+"\n"); err != nil {
			return g.explain(fmt.Errorf("write %q: %w", l, err))
		}
	}
	return nil
}

func (g *Group) file(name string) string { return filepath.Join(g.Dir, name) }

// explain adds the kernel's reason for the last refused command.
func (g *Group) explain(err error) error {
	for _, root := range []string{g.Dir, filepath.Dir(g.Dir)} {
		if text, e := os.ReadFile(filepath.Join(root, "info", "last_cmd_status")); e == nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(string(text)), err)
		}
	}
	return err
}

// Update changes the schemata of an existing group. If the kernel refuses one
// line, all are restored.
func Update(dir string, lines ...string) error {
	g := &Group{Dir: dir}
	old, err := os.ReadFile(g.file("schemata"))
	if err != nil {
		return err
	}
	return change(string(old), lines, func(line string) error { return g.write([]string{line}) })
}

// change writes lines. After a refusal it writes the lines of old.
func change(old string, lines []string, write func(line string) error) error {
	for _, l := range lines {
		err := write(l)
		if err == nil {
			continue
		}
		for line := range strings.Lines(old) {
			if failed := write(strings.TrimSpace(line)); failed != nil {
				return fmt.Errorf("old schemata are not all restored (%w): %w", failed, err)
			}
		}
		return err
	}
	return nil
}

// Join moves a process into the directories of a group. Its children are born
// there.
func Join(dirs []string, pid int) error {
	for _, dir := range dirs {
		if err := writeFile(filepath.Join(dir, "tasks"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a directory that Create has created. The kernel moves its
// processes to the parent group.
func Remove(dir string) error {
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
