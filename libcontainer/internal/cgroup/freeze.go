package cgroup

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"
)

// The kernel does not announce a change of the v1 freezer: freezer.state becomes
// FROZEN only during a read. The runtime therefore reads it repeatedly, after
// pauses that double from firstPause up to longPause.
const (
	firstPause = 50 * time.Microsecond
	longPause  = 10 * time.Millisecond
)

// freezer returns the cgroup to freeze. On a host with the v1 freezer it is that
// one, because other programs (CRIU, engines) look there.
func (p Paths) freezer() (g group, v2, ok bool, err error) {
	d, ok := p.find("freezer")
	if !ok {
		return g, false, false, nil
	}
	g, err = openGroup(d.Abs())
	return g, d.Controllers == nil, err == nil, err
}

// Freeze stops all processes and returns when they have stopped. If ctx ends first,
// it lets them run again, and the error names the processes that did not stop.
func (p Paths) Freeze(ctx context.Context) error {
	g, v2, ok, err := p.freezer()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("the container has no cgroup that can be frozen")
	}
	defer g.close()
	return g.freeze(ctx, v2)
}

func (g group) freeze(ctx context.Context, v2 bool) error {
	var err error
	if v2 {
		err = g.freezeV2(ctx)
	} else {
		err = g.freezeV1(ctx)
	}
	if err == nil {
		return nil
	}
	left, names := running(g), ""
	if v2 {
		names = stubborn(left) // before the thaw, which also wakes these up
	}
	thaw := g.thaw(context.WithoutCancel(ctx), v2)
	if !v2 {
		names = stubborn(left) // after the thaw: before it, every frozen process is in state D
	}
	if thaw != nil {
		return fmt.Errorf("freeze %s: waiting for %s, and the others are not running again (%w): %w", g.path, names, thaw, err)
	}
	return fmt.Errorf("freeze %s: waiting for %s: %w", g.path, names, err)
}

func (g group) freezeV2(ctx context.Context) error {
	if err := g.write("cgroup.freeze", "1"); err != nil {
		return err
	}
	return g.await(ctx, "cgroup.events", "frozen", 1)
}

// freezeV1 repeats the write of FROZEN in each round. The repeated write also
// reaches processes forked in the meantime.
func (g group) freezeV1(ctx context.Context) error {
	for d := firstPause; ; d = min(2*d, longPause) {
		if err := g.write("freezer.state", "FROZEN"); err != nil {
			return err
		}
		state, err := g.read("freezer.state")
		if err != nil || state == "FROZEN" {
			return err
		}
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
}

// running returns the processes of g that do not look frozen. It cannot recognise
// all frozen ones: since Linux 6.1 ("freezer,sched: Rewrite core freezer logic")
// the kernel freezes some sleeping processes in place.
func running(g group) []int {
	pids, err := allProcs(g.path)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(pids, func(pid int) bool {
		switch waitChannel(pid) {
		case "__refrigerator", "do_freezer_trap": // where v1 and v2 stop them
			return true
		}
		return false
	})
}

// stubborn names the processes of pids that are in uninterruptible sleep, or all of
// pids if none is.
func stubborn(pids []int) string {
	asleep := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
		stat, err := readPath(fmt.Sprintf("/proc/%d/stat", pid))
		_, state := parseStat(stat)
		return err != nil || state != "D"
	})
	switch {
	case len(asleep) > 0:
		return Describe(asleep)
	case len(pids) > 0:
		return Describe(pids)
	}
	return "a process"
}

// Thaw lets all processes run again.
func (p Paths) Thaw(ctx context.Context) error {
	g, v2, ok, err := p.freezer()
	if err != nil || !ok {
		return unlessGone(err)
	}
	defer g.close()
	return unlessGone(g.thaw(ctx, v2))
}

func (g group) thaw(ctx context.Context, v2 bool) error {
	if !v2 {
		return g.write("freezer.state", "THAWED")
	}
	if err := g.write("cgroup.freeze", "0"); err != nil {
		return err
	}
	if above, err := g.read("../cgroup.events"); err == nil && flatKeyed(above)["frozen"] == 1 {
		return nil // frozen by a cgroup above, which this thaw does not change
	}
	return g.await(ctx, "cgroup.events", "frozen", 0)
}

// Frozen reports whether the cgroup is frozen or being frozen, by itself or by a
// cgroup above. A removed cgroup is not frozen.
func (p Paths) Frozen() (bool, error) {
	return new(Look).Frozen(p)
}

// Look examines many cgroups and reads the files of common ancestors only once.
type Look struct {
	freezing map[string]bool // by path: whether it or a cgroup above is to be frozen; nil: look at one cgroup only
}

// LookAtMany returns a Look for several cgroups. It saves reads from the second
// cgroup on, if they have an ancestor in common.
func LookAtMany() *Look { return &Look{freezing: map[string]bool{}} }

// Frozen is like Paths.Frozen.
func (l *Look) Frozen(p Paths) (bool, error) {
	d, ok := p.find("freezer")
	if !ok {
		return false, nil
	}
	frozen, err := l.frozen(d)
	return frozen, unlessGone(err)
}

func (l *Look) frozen(d Dir) (bool, error) {
	g := named(d.Abs())
	if d.Controllers != nil {
		state, err := g.read("freezer.state")
		return err == nil && state != "THAWED", err
	}
	self, err := g.read("cgroup.freeze")
	if err != nil || self == "1" || l.freezing != nil && !l.above(d.Mountpoint, path.Dir(d.Abs())) {
		return self == "1", err
	}
	text, err := g.read("cgroup.events")
	return flatKeyed(text)["frozen"] == 1, err
}

// above reports whether dir or a cgroup above it is to be frozen. The root cannot
// be frozen.
func (l *Look) above(root, dir string) bool {
	if len(dir) <= len(root) {
		return false
	}
	freezing, ok := l.freezing[dir]
	if !ok {
		self, err := named(dir).read("cgroup.freeze")
		freezing = err != nil || self == "1" || l.above(root, path.Dir(dir))
		l.freezing[dir] = freezing
	}
	return freezing
}

// FreezerDir returns the directory of the cgroup to freeze, or "".
func (p Paths) FreezerDir() string {
	d, ok := p.find("freezer")
	if !ok {
		return ""
	}
	return d.Abs()
}
