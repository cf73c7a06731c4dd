package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// timeOffsets writes the clock offsets. The runtime side writes them: it owns the
// stub's /proc files while the stub is undumpable.
//
// A runtime without privilege cannot open the file. Then the stub writes it
// itself, and is dumpable while it opens the file. No other process is in its
// namespaces yet. A process outside with the runtime's ids gains nothing: it
// could have acted as the runtime.
func (ns *namespaces) timeOffsets(s plan.TimeOffsets) error {
	if !ns.unprivileged() {
		err := proc.WriteFile(ns.stub.Pid, "timens_offsets", offsetText(s))
		return timeFailure(ns.items[ns.at], err)
	}
	b := ns.building
	b.SetDumpable(true)
	fd := b.Open("/proc/self/timens_offsets", unix.O_WRONLY)
	b.SetDumpable(false)
	b.Write(fd, offsetText(s))
	b.Close(fd)
	return nil
}

func offsetText(s plan.TimeOffsets) string {
	var text strings.Builder
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := s.Offsets[clock]; ok {
			fmt.Fprintf(&text, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	return text.String()
}

// enterTime enters the new time namespace. Before Linux 6.0, execve alone does
// not enter it. Also, exec joins the namespace of the first process, not the one
// of its children.
//
// The stub opens the namespace in the host's procfs, as its own. It sees that
// procfs until it joins another mount namespace. If the plan joins one, the
// runtime side opens the file (enterTimeFromHere).
func (ns *namespaces) enterTime() error {
	if ns.joins(unix.CLONE_NEWNS) {
		return ns.enterTimeFromHere()
	}
	fd := ns.building.Open("/proc/self/ns/time_for_children", unix.O_RDONLY)
	ns.building.Setns(fd, unix.CLONE_NEWTIME)
	ns.building.Close(fd)
	return nil
}

func (ns *namespaces) enterTimeFromHere() error {
	if err := ns.settle(); err != nil { // the unshare must be done
		return err
	}
	f, err := os.Open("/proc/" + strconv.Itoa(ns.stub.Pid) + "/ns/time_for_children")
	if err != nil {
		return err
	}
	defer f.Close()
	fds := ns.receive([]int{int(f.Fd())}, []string{f.Name()})
	ns.building.Setns(fds[0], unix.CLONE_NEWTIME)
	ns.building.Close(fds[0])
	return ns.settle()
}

// timeFailure explains an offset that would set a clock before its zero or beyond
// its range (time_namespaces(7)).
func timeFailure(it plan.Item, err error) error {
	if isErrno(err, unix.ERANGE) {
		return hint(it, err, "the clock would be negative, or beyond 146 years")
	}
	return err
}
