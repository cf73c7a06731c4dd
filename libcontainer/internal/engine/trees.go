package engine

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// trees has the trees of the sources that are open.
type trees struct {
	*batches
	byItem map[int]*tree
}

// all returns the items that have a tree.
func (tr *trees) all() []int {
	var items []int
	for i := range tr.byItem {
		items = append(items, i)
	}
	slices.Sort(items)
	return items
}

// unopened returns the number of sources that are not open yet.
func (tr *trees) unopened() (n int) {
	for i := tr.at; i < len(tr.items); i++ {
		if source, _, _ := hostSource(tr.items[i].Step); source != "" && tr.byItem[i] == nil {
			n++
		}
	}
	return n
}

// isDir reports whether the root of a tree is a directory. For a mountpoint in
// a mount of the plan the type is known. For a missing mountpoint, isDir asks
// for the types of all trees at once: others are likely to be missing too.
func (tr *trees) isDir(it plan.Item, t *tree) (bool, error) {
	if t.kind == 0 {
		if err := tr.findKinds(); err != nil {
			return false, failed(it, tr.lost(err))
		}
	}
	return t.kind == unix.S_IFDIR, nil
}

// findKinds asks the stub for the types: it has all trees by now.
func (tr *trees) findKinds() error {
	var q remote.Batch
	stats := map[*tree]remote.Stat{}
	ask := func() error {
		err := tr.ask(&q)
		for t, st := range stats {
			if err == nil {
				t.kind = st.Get().Mode & unix.S_IFMT
			}
		}
		clear(stats)
		q = remote.Batch{}
		return err
	}
	for _, i := range tr.all() {
		if t := tr.byItem[i]; t.kind == 0 && t.there != nil && t.there.Number() >= 0 {
			stats[t] = q.Statx(t.there, "", unix.AT_STATX_DONT_SYNC)
		}
		if q.Size() > maxBatch {
			if err := ask(); err != nil {
				return err
			}
		}
	}
	return ask()
}

// mountOf returns the tree as a mount that can be attached. At an origin the stub
// clones it first.
func (tr *trees) mountOf(t *tree, recursive, private bool) *remote.FD {
	if !t.origin {
		return t.there
	}
	m := tr.building.OpenTree(t.there, "", recursive)
	if private {
		tr.building.MountSetattr(m, "", false, remote.Attr{Propagation: unix.MS_PRIVATE})
	}
	tr.building.Close(t.there)
	return m
}

func (tr *trees) receiveTrees() {
	var files []int
	var names []string
	var list []*tree
	for i := range tr.items {
		if t := tr.byItem[i]; t != nil && t.elsewhere == t.origin && t.fd >= 0 && (t.there == nil || t.there.Number() == remote.Gone) {
			files, names, list = append(files, t.fd), append(names, t.name), append(list, t)
		}
	}
	if len(files) == 0 {
		return
	}
	for i, fd := range tr.receive(files, names) {
		list[i].there = fd
	}
}
