package cgroup

import (
	"maps"
	"slices"
	"strings"
)

// unifiedNeeds lists the controllers that linux.resources.unified needs. The core
// files such as cgroup.freeze need none.
func unifiedNeeds(u map[string]string) []need {
	var ns []need
	for _, file := range slices.Sorted(maps.Keys(u)) {
		if c, _, ok := strings.Cut(file, "."); ok && c != "cgroup" {
			ns = append(ns, need{c, unifiedField(file)})
		}
	}
	return ns
}

func unifiedField(file string) string { return resources + "/unified/" + pointerToken(file) }

// planUnified plans linux.resources.unified: values for files of the cgroup2 cgroup,
// without conversion. They come last, so they override the other fields.
func (a *applier) planUnified(l *limits, u map[string]string) {
	d := a.paths.Unified
	if d == nil {
		l.refuse("/unified", "invalid configuration: cannot use unified on cgroup v1")
		return
	}
	g, err := a.group(d.Abs())
	if err != nil {
		l.problems = append(l.problems, err)
		return
	}
	for _, n := range unifiedNeeds(u) {
		if err := a.has(g, n); err != nil {
			l.problems = append(l.problems, err)
		}
	}
	l.dir = g.path
	for _, file := range slices.Sorted(maps.Keys(u)) {
		l.unified(file, u[file])
	}
}

// unified plans one file. Each line is a write of its own, because the kernel
// accepts the limit of one device per write.
func (l *limits) unified(file, value string) {
	if strings.Contains(file, "/") || !strings.Contains(strings.Trim(file, "."), ".") {
		l.refuse("/unified/"+pointerToken(file), "not the name of a cgroup file (CONTROLLER.PARAMETER)")
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(value, "\n"), "\n") {
		if line == "" {
			line = "\n" // clears: an empty write would not reach the file
		}
		l.add(write{field: unifiedField(file), file: file, value: line, undo: undoUnified(file, line)})
	}
}

// undoUnified returns an undo function for a file of unknown format. It restores the
// old line with the same key, if there is one. For a device without an old line it
// removes the limit. Otherwise it restores the whole text.
func undoUnified(file, line string) func(string) string {
	key, _, _ := strings.Cut(line, " ")
	return func(old string) string {
		reset := old
		if strings.Contains(key, ":") {
			reset = key + " default"
			if file == "io.max" {
				reset = ioMaxReset(key)
			}
		}
		return undoLine(key, reset)(old)
	}
}
