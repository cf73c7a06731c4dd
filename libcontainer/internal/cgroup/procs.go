package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Procs returns the processes in the cgroup itself, as pids of the runtime's pid
// namespace. A removed cgroup has none.
func (p Paths) Procs() ([]int, error) {
	d, ok := p.primary()
	if !ok {
		return nil, nil
	}
	pids, err := procsIn(d.Abs())
	return pids, unlessGone(err)
}

// AllProcs returns the processes in the cgroup and below.
func (p Paths) AllProcs() ([]int, error) {
	d, ok := p.primary()
	if !ok {
		return nil, nil
	}
	return allProcs(d.Abs())
}

func procsIn(dir string) ([]int, error) {
	g, err := openGroup(dir)
	if err != nil {
		return nil, err
	}
	defer g.close()
	return g.procs()
}

// procs returns the processes in g. For a threaded cgroup that is none: the kernel
// lists its processes in the nearest cgroup above that is not threaded.
func (g group) procs() ([]int, error) {
	text, err := g.read("cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parsePids(text), nil
}

// parsePids parses cgroup.procs. It skips 0, which stands for a process outside of
// the runtime's pid namespace.
func parsePids(text string) []int {
	var pids []int
	for line := range strings.SplitSeq(text, "\n") {
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

func allProcs(dir string) ([]int, error) {
	g, err := openGroup(dir)
	if err != nil {
		return nil, unlessGone(err)
	}
	var pids []int
	err = g.walk(func(g group) error {
		ps, err := g.procs()
		pids = append(pids, ps...)
		return err
	})
	// A process may move during the walk and appear twice.
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// unlessGone returns err, or nil if err means that the cgroup has been removed:
// ENOENT by name, ENODEV by descriptor.
func unlessGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Describe names processes for a message, with state and wait channel.
func Describe(pids []int) string {
	const most = 8 // fit on one line
	var names []string
	for i, pid := range pids {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(pids)-most))
			break
		}
		names = append(names, describeOne(pid))
	}
	return strings.Join(names, ", ")
}

// describeOne returns text like "1234 (sleep, S, hrtimer_nanosleep)". The container
// chooses the process name, so unusual characters are quoted.
func describeOne(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := readPath(path.Join(dir, "stat"))
	if err != nil {
		return strconv.Itoa(pid) + " (gone)"
	}
	comm, state := parseStat(stat)
	if quoted := strconv.Quote(comm); quoted != `"`+comm+`"` {
		comm = quoted
	}
	s := fmt.Sprintf("%d (%s, %s", pid, comm, state)
	if w := waitChannel(pid); w != "" {
		s += ", " + w
	}
	return s + ")"
}

// waitChannel returns the kernel function that a process waits in. It returns "" if
// the process runs or the runtime lacks the permission.
func waitChannel(pid int) string {
	w, err := readPath(fmt.Sprintf("/proc/%d/wchan", pid))
	if err != nil || w == "0" {
		return ""
	}
	return w
}

// parseStat returns the name and the state from /proc/PID/stat. The name itself may
// contain parentheses.
func parseStat(stat string) (comm, state string) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open || len(stat) < end+3 {
		return "?", "?"
	}
	return stat[open+1 : end], stat[end+2 : end+3]
}
