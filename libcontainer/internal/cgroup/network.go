package cgroup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func classIDField(n *specs.LinuxNetwork) string {
	if n.ClassID == nil || *n.ClassID == 0 {
		return ""
	}
	return "/network/classID"
}

func prioritiesField(n *specs.LinuxNetwork) string {
	if len(n.Priorities) == 0 {
		return ""
	}
	return "/network/priorities"
}

// classID plans linux.resources.network.classID; it is v1 only.
func (l *limits) classID(id uint32) {
	l.add(write{field: resources + "/network/classID", file: "net_cls.classid", value: strconv.FormatUint(uint64(id), 10)})
}

// priorities plans linux.resources.network.priorities; they are v1 only.
func (l *limits) priorities(ps []specs.LinuxInterfacePriority) {
	for i, p := range ps {
		l.add(write{
			field: fmt.Sprintf("%s/network/priorities/%d", resources, i),
			file:  "net_prio.ifpriomap",
			value: fmt.Sprintf("%s %d", p.Name, p.Priority),
			undo:  undoLine(p.Name, p.Name+" 0"),
		})
	}
}
