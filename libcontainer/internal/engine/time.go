package engine

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// timeOffsets is the runtime's to do, to whom the stub's file belongs as long as
// that is not dumpable. A runtime without privilege could not open it: the stub
// does, dumpable for the moment. Nobody else is in its namespaces yet, and
// whoever has the runtime's own ids outside could have been the runtime.
func (w *walk) timeOffsets(s plan.TimeOffsets) error {
	if !w.unprivileged() {
		err := writeProc(w.stub.Pid, "timens_offsets", offsetText(s))
		return timeFailure(w.items[w.at], err)
	}
	b := w.building
	b.dumpable()
	fd := b.Open("/proc/self/timens_offsets", unix.O_WRONLY)
	b.undumpable()
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

func (w *walk) unprivileged() bool {
	return slices.ContainsFunc(w.items, func(it plan.Item) bool {
		h, ok := it.Step.(plan.Harden)
		return ok && h.MapsFirst
	})
}

// enterTime: before Linux 6.0, execve alone would not do it, and exec joins the
// namespace that the first process is in, not the one that its children get.
//
// The name is the stub's own in the host's procfs, which it sees as long as it
// has not entered the mount namespace of somebody else.
func (w *walk) enterTime() error {
	if w.joins(unix.CLONE_NEWNS) {
		return w.enterTimeFromHere()
	}
	fd := w.building.Open("/proc/self/ns/time_for_children", unix.O_RDONLY)
	w.building.Setns(fd, unix.CLONE_NEWTIME)
	w.building.Close(fd)
	return nil
}

func (w *walk) enterTimeFromHere() error {
	if err := w.settle(); err != nil { // what was unshared is there now
		return err
	}
	f, err := os.Open("/proc/" + strconv.Itoa(w.stub.Pid) + "/ns/time_for_children")
	if err != nil {
		return err
	}
	defer f.Close()
	fds := w.receive([]int{int(f.Fd())}, []string{f.Name()})
	w.building.Setns(fds[0], unix.CLONE_NEWTIME)
	w.building.Close(fds[0])
	return w.settle()
}

// timeFailure explains an offset that would set a clock to before its zero, or
// beyond what it can count (time_namespaces(7)).
func timeFailure(it plan.Item, err error) error {
	if isErrno(err, unix.ERANGE) {
		return hint(it, err, "the clock would be negative, or beyond 146 years")
	}
	return err
}
