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

// classID plans linux.resources.network.classID. On v2, setSockets applies it.
func (l *limits) classID(id uint32, v view) {
	if v.v2 {
		return
	}
	l.add(write{field: resources + "/network/classID", file: "net_cls.classid", value: strconv.FormatUint(uint64(id), 10)})
}

// priorities plans linux.resources.network.priorities. On v2, setSockets gives
// every socket the same priority, independent of the outgoing interface.
func (l *limits) priorities(ps []specs.LinuxInterfacePriority, v view) {
	for i, p := range ps {
		field := fmt.Sprintf("/network/priorities/%d", i)
		if v.v2 {
			if p.Priority != ps[0].Priority {
				l.refuse(field, "cgroup v2 has one priority for all interfaces, and %s has %d, but %s %d", ps[0].Name, ps[0].Priority, p.Name, p.Priority)
			}
			continue
		}
		l.add(write{
			field: resources + field,
			file:  "net_prio.ifpriomap",
			value: fmt.Sprintf("%s %d", p.Name, p.Priority),
			undo:  undoLine(p.Name, p.Name+" 0"),
		})
	}
}

// setSockets attaches a program that sets mark (the class) and priority of new
// sockets, if no v1 controller does so. It returns a function that undoes this, or
// nil if there was nothing to do.
func (a *applier) setSockets(r *specs.LinuxResources) (undo func() error, err error) {
	if r == nil || r.Network == nil {
		return nil, nil
	}
	mark, priority := a.socketValues(r.Network)
	if mark == nil && priority == nil {
		return nil, nil
	}
	g, err := a.group(a.paths.Unified.Abs())
	if err != nil {
		return nil, err
	}
	return a.replaceSockets(g, socketProgram(mark, priority))
}

// socketValues returns the values of n that no v1 controller can apply here.
func (a *applier) socketValues(n *specs.LinuxNetwork) (mark, priority *uint32) {
	unified := func(controller string) bool {
		d, ok := a.paths.find(controller)
		return ok && d.Controllers == nil
	}
	if classIDField(n) != "" && unified("net_cls") {
		mark = n.ClassID
	}
	if len(n.Priorities) > 0 && unified("net_prio") {
		priority = &n.Priorities[0].Priority
	}
	return mark, priority
}

func (a *applier) replaceSockets(g group, program []instruction) (undo func() error, err error) {
	fail := func(op string, err error) error {
		return &FileError{Field: resources + "/network", Op: op, Path: g.path, Hint: bpfHint(err), Err: err}
	}
	h := socketHook()
	prog, err := h.load(program)
	if err != nil {
		return nil, fail("bpf(BPF_PROG_LOAD) of the socket program for", err)
	}
	a.programs = append(a.programs, prog)
	old, err := h.attached(g.fd)
	if err == nil {
		err = h.replace(g.fd, old, prog)
	}
	if old >= 0 {
		a.programs = append(a.programs, old)
	}
	if err != nil {
		return nil, fail("bpf(BPF_PROG_ATTACH) to", err)
	}
	return func() error {
		if old < 0 {
			return h.detach(g.fd, prog)
		}
		return h.replace(g.fd, prog, old)
	}, nil
}
