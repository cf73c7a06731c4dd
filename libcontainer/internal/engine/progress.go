package engine

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// progress is the walk's own copy of the plan, and its place in it. A plan is a
// value: slow paths replace steps of the copy only.
type progress struct {
	items []plan.Item
	at    int             // index of the item that is added or executed now
	until context.Context // its end stops the walk between steps
}

// present returns the item at which the walk is.
func (p *progress) present() plan.Item { return p.items[min(p.at, len(p.items)-1)] }

// joins reports whether the plan joins a namespace of the type by path.
func (p *progress) joins(flag uint64) bool {
	for _, it := range p.items {
		if j, ok := it.Step.(plan.Join); ok && j.Flag == flag {
			return true
		}
	}
	return false
}

// skipStep makes the step a done one, so that its repetition does nothing.
func (p *progress) skipStep() { p.items[p.at].Step = done{p.items[p.at].Step} }

// done is a step that its slow path has completed.
type done struct{ plan.Step }

// rootfsPath returns the path of the root file system on the host. Sources inside it
// begin with this path.
func (p *progress) rootfsPath() string {
	for _, it := range p.items {
		switch s := it.Step.(type) {
		case plan.AttachRootfs:
			return s.Path
		case plan.HoldRoot:
			return s.Path
		}
	}
	return ""
}

// copiedByUserns reports whether the stub's mount namespace is a copy of the
// runtime's that belongs to another user namespace.
func (p *progress) copiedByUserns() bool {
	var mount, user bool
	for _, it := range p.items {
		switch s := it.Step.(type) {
		case plan.Unshare:
			mount, user = mount || s.Flags&unix.CLONE_NEWNS != 0, user || s.Flags&unix.CLONE_NEWUSER != 0
		case plan.Join:
			user = user || s.Flag == unix.CLONE_NEWUSER
		case plan.Enter:
			user = user || s.Flags&unix.CLONE_NEWUSER != 0
		}
	}
	return mount && user
}

// clones reports whether the program is a clone of the stub. Then the terminal
// belongs to the clone's session.
func (p *progress) clones() bool {
	for _, it := range p.items {
		if _, ok := it.Step.(plan.CloneInto); ok {
			return true
		}
	}
	return false
}

func (p *progress) hasTerminal() bool {
	for _, it := range p.items {
		if _, ok := it.Step.(plan.Terminal); ok {
			return true
		}
	}
	return false
}

func (p *progress) unprivileged() bool {
	return slices.ContainsFunc(p.items, func(it plan.Item) bool {
		h, ok := it.Step.(plan.Harden)
		return ok && h.MapsFirst
	})
}

// task returns the step and field for calls with the tag. The start of the stub
// has no calls and no tag: it belongs to the present step.
func (p *progress) task(tag int) timeline.Task {
	if tag == 0 {
		tag = min(p.at, len(p.items)-1)
	}
	return timeline.Task{Step: p.items[tag].Step, Field: p.items[tag].Field}
}
