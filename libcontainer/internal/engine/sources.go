package engine

import (
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// sources owns the bind sources on the host, from the look-up of their paths until the
// stub has them. Three processes open sources:
//
//	the runtime's process  sources that the kernel finds in its caches (openCached),
//	                       while the stub creates its namespaces (meanwhile)
//	the opener, a stub     sources on a file system that may not answer, at the same
//	on the host            time (slowSources)
//	the container's stub   sources in the root file system, in mount order
//	                       (plan: builder.inside); and the sources on the host, if
//	                       the runtime may not clone them (origins)
//
// The first two clone each source and hand the clone to the container's stub (deliver).
type sources struct {
	*trees
	slow    *slowSources
	origins *origins
	idmaps  idmaps
}

func newSources(b *batches) sources {
	t := &trees{batches: b, byItem: map[int]*tree{}}
	slow := &slowSources{trees: t, opener: opener{stubs: &b.stubs}}
	return sources{trees: t, slow: slow, origins: &origins{trees: t, slow: slow}, idmaps: idmaps{batches: b, mappings: map[string]*os.File{}}}
}

// close releases the trees, the mappings and the opener.
func (src *sources) close() {
	src.slow.opener.abandon() // first: its last call may never return
	src.closeTrees()
}

// closeTrees closes the descriptors of the trees and the mappings.
func (src *sources) closeTrees() {
	letGo(src.byItem)
	src.idmaps.close()
}

// deliver opens the sources, maps their ids, and hands them to the stub, in one
// message or a few.
func (src *sources) deliver() error {
	if err := src.meanwhile(); err != nil {
		return err
	}
	if err := src.origins.locate(src.all()); err != nil {
		return err
	}
	if err := src.mapTrees(); err != nil {
		return err
	}
	src.receiveTrees()
	return nil
}

// mapTrees maps the ids of the trees that the runtime side opened. It comes after
// the creation of the container's user namespace, which may be the mapping.
func (src *sources) mapTrees() error {
	for i, it := range src.items {
		s, ok := it.Step.(plan.Bind)
		t := src.byItem[i]
		if !ok || t == nil || s.Idmap == nil || t.mapped || t.origin {
			continue
		}
		if err := src.idmaps.apply(t.fd, t.name, s.Idmap); err != nil {
			return failed(it, err)
		}
		t.mapped = true
	}
	return nil
}

// lateTree opens the source of a bind mount that replaces another step, and hands
// it over.
func (src *sources) lateTree() error {
	if err := src.meanwhile(); err != nil {
		return err
	}
	if err := src.origins.locate([]int{src.at}); err != nil {
		return err
	}
	t := src.byItem[src.at]
	if t.fd < 0 {
		return nil
	}
	var q remote.Batch
	fd := q.ReceiveFiles(src.stub.Control(), []string{t.name})[0]
	if err := src.stub.Send(&q); err != nil {
		return err
	}
	if err := src.stub.SendFiles(&q, []int{t.fd}); err != nil {
		return err
	}
	t.there = fd
	return src.stub.Receive(&q)
}

// fewSources is the number of sources that are opened at once. More are opened in
// parts of this size (see handOver).
const fewSources = 32

// meanwhile uses the time in which the stub creates namespaces: it calls
// Job.Meanwhile once and opens the sources of bind mounts. If no step gave an
// opportunity, it runs before the first step that needs trees.
func (src *sources) meanwhile() error {
	if err := src.launch(); err != nil { // without new namespaces, nothing has been sent yet
		return err
	}
	if err := src.callMeanwhile(); err != nil {
		return err
	}
	n := src.unopened()
	if n == 0 {
		return nil
	}
	if n > fewSources {
		src.widen(n)
	}
	if _, err := src.openNext(len(src.items)); err != nil {
		return err
	}
	return nil
}

// widen makes the kernel enlarge the descriptor table once, for n more descriptors
// and for the n that replace them (see relocate). Each enlargement is slow: see
// handOver.
func (src *sources) widen(n int) {
	if fd, err := unix.FcntlInt(uintptr(src.stub.Pidfd()), unix.F_DUPFD_CLOEXEC, 2*n+fewSources); err == nil {
		unix.Close(fd)
	}
}

func (src *sources) callMeanwhile() error {
	f := src.job.Meanwhile
	if f == nil {
		return nil
	}
	src.job.Meanwhile = nil
	if err := f(src.ctx, src.stub.Pid); err != nil {
		return unrelated{err}
	}
	return nil
}

// openNext opens up to n sources. This process opens the sources for which the
// kernel need not ask a file system. The opener opens the others, which may be on
// a volume that does not answer.
func (src *sources) openNext(n int) (map[int]*tree, error) {
	trees := map[int]*tree{}
	slow, err := src.openCached(n, trees)
	if err == nil {
		err = src.slow.openSlowly(slow, trees)
	}
	if err != nil {
		closeTrees(trees)
		return nil, err
	}
	maps.Copy(src.byItem, trees)
	return trees, nil
}

// handOver opens many sources in parts and gives each part to the stub. When the
// number of descriptors of a process passes a power of two, the kernel enlarges
// its table. For a process with threads, such as this one, it waits for all
// processors (expand_fdtable, synchronize_rcu), 10 ms and more. The stub has no
// threads.
func (src *sources) handOver() error {
	if src.unopened() <= fewSources || src.needsTrees() {
		return nil
	}
	for src.unopened() > 0 {
		trees, err := src.openNext(fewSources)
		if err != nil {
			return err
		}
		src.receiveTrees()
		if err := src.cut(); err != nil {
			return err
		}
		letGo(trees)
	}
	return nil
}

// needsTrees reports whether the runtime side still needs the trees after they are
// opened: to map ids, or to find the origins.
func (src *sources) needsTrees() bool {
	mapped := slices.ContainsFunc(src.items, func(it plan.Item) bool {
		b, ok := it.Step.(plan.Bind)
		return ok && b.Idmap != nil
	})
	return mapped || src.copiedByUserns()
}

// openCached opens up to n sources for which the kernel need not ask a file
// system. Usually these are most of them. It returns the items of the others.
func (src *sources) openCached(n int, trees map[int]*tree) (slow []int, err error) {
	copied := src.copiedByUserns()
	for i := src.at; i < len(src.items) && len(trees)+len(slow) < n; i++ {
		s := src.items[i].Step
		source, recursive, nofollow := hostSource(s)
		if source == "" || src.byItem[i] != nil {
			continue
		}
		if copied && mayNotClone() {
			trees[i] = &tree{fd: -1, name: source, nofollow: nofollow, elsewhere: true}
			continue
		}
		var t *tree
		if !src.asksForMore(s, copied) {
			if t, err = cachedTree(s, source, recursive, nofollow); err != nil {
				return nil, failed(src.items[i], err)
			}
		}
		if t == nil {
			slow = append(slow, i)
			continue
		}
		_, bind := s.(plan.Bind)
		trees[i], t.elsewhere = t, copied && bind
		if err := prepareTree(src.items[i], t); err != nil {
			return nil, failed(src.items[i], err)
		}
	}
	return slow, nil
}

// asksForMore reports whether the walk needs statfs(2) of the source, which asks
// the file system. It has to tell a procfs from other file systems. And it has to
// know whether the mount has restrictions, because the stub clones those that
// have. The stub cannot clone every mount: the kernel refuses a single mount with
// mounts below it, which are locked there (has_locked_children in
// fs/namespace.c).
func (src *sources) asksForMore(s plan.Step, copied bool) bool {
	b, ok := s.(plan.Bind)
	return ok && (b.At.Path == "/proc" || copied && !lockedAnyway(b))
}
