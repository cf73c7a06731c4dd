package cgroup

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pids plans linux.resources.pids. 0 is a limit; every negative number means none.
func (l *limits) pids(limit int64) {
	l.add(write{field: resources + "/pids/limit", file: "pids.max", value: orMax(limit)})
}

// TooManyProcesses reports whether the cgroup, or one above it, has more processes than
// its pids.max. The kernel limits forks only: a process may move to such a cgroup.
func (p Paths) TooManyProcesses() (bool, error) {
	for d := range p.dirs() {
		if d.Controllers != nil && !contains(d.Controllers, "pids") {
			continue
		}
		for _, dir := range d.levels() {
			over, err := tooManyIn(dir)
			if over || err != nil {
				return over, err
			}
		}
	}
	return false, nil
}

func tooManyIn(dir string) (bool, error) {
	limit, err := readPath(path.Join(dir, "pids.max"))
	if errors.Is(err, unix.ENOENT) || err == nil && strings.TrimSpace(limit) == "max" {
		return false, nil // the controller may not be enabled here
	}
	if err != nil {
		return false, err
	}
	now, err := readPath(path.Join(dir, "pids.current"))
	if err != nil {
		return false, err
	}
	n, e1 := strconv.Atoi(strings.TrimSpace(now))
	most, e2 := strconv.Atoi(strings.TrimSpace(limit))
	return n > most, errors.Join(e1, e2)
}
