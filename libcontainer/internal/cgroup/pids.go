package cgroup

// pids plans linux.resources.pids. 0 is a limit; every negative number means none.
func (l *limits) pids(limit int64) {
	l.add(write{field: resources + "/pids/limit", file: "pids.max", value: orMax(limit)})
}
