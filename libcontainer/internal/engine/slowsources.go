package engine

import (
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// slowSources has the opener open sources that may be on a volume that does not answer.
type slowSources struct {
	*trees
	opener opener
}

// openSlowly has the opener open the sources of items.
func (sl *slowSources) openSlowly(items []int, trees map[int]*tree) error {
	if len(items) == 0 {
		return nil
	}
	if err := sl.opener.need(); err != nil {
		return err
	}
	for len(items) > 0 {
		var q remote.Batch
		var list []opening
		for _, i := range items {
			if q.Size() > maxBatch {
				break
			}
			list = append(list, sl.addSource(&q, i))
		}
		items = items[len(list):]
		if err := sl.opener.open(&q, list, nil); err != nil {
			return err
		}
		for n, o := range list {
			if err := sl.takeTree(o, trees); err != nil {
				closeOpened(list[n+1:])
				return err
			}
		}
	}
	return nil
}

// addSource adds the calls that open the source of an item. It adds statfs only if
// the walk needs the result.
func (sl *slowSources) addSource(q *remote.Batch, i int) opening {
	source, recursive, nofollow := hostSource(sl.items[i].Step)
	q.Tag(i)
	fd := q.OpenSource(asOurs(source), recursive, nofollow)
	o := opening{item: i, open: q.Last()}
	if b, ok := sl.items[i].Step.(plan.Bind); ok && (b.At.Path == "/proc" || sl.copiedByUserns() && !lockedAnyway(b)) {
		fs := q.Fstatfs(fd)
		o.fs = &fs
	}
	q.SendFile(sl.opener.process.Control(), fd)
	q.Close(fd)
	return o
}

// takeTree turns an opened source into a tree.
func (sl *slowSources) takeTree(o opening, trees map[int]*tree) error {
	it := sl.items[o.item]
	source, _, nofollow := hostSource(it.Step)
	t := &tree{fd: o.fd, name: source, nofollow: nofollow}
	trees[o.item] = t
	if o.fs != nil {
		t.fs = o.fs.Get()
	}
	t.elsewhere = sl.copiedByUserns() && mustLock(it.Step, t.fs)
	if err := prepareTree(it, t); err != nil {
		return failed(it, err)
	}
	return nil
}

// findSlowly has the opener open the files of trees below root.
func (sl *slowSources) findSlowly(root int, items []int, found map[int]int) error {
	if len(items) == 0 {
		return nil
	}
	if err := sl.opener.need(); err != nil {
		return err
	}
	for len(items) > 0 {
		list, err := sl.findSome(root, items)
		if err != nil {
			return err
		}
		for _, o := range list {
			found[o.item] = o.fd
		}
		items = items[len(list):]
	}
	return nil
}

// findSome opens as many files as one batch takes. It repeats the batch after a
// rename somewhere on the host (EAGAIN).
func (sl *slowSources) findSome(root int, items []int) (list []opening, err error) {
	for range maxRetries {
		var q remote.Batch
		list = nil
		dir := q.ReceiveFiles(sl.opener.process.Control(), []string{"the container's mount namespace"})[0]
		for _, i := range items {
			if q.Size() > maxBatch {
				break
			}
			list = append(list, sl.addPlace(&q, dir, i))
		}
		q.Close(dir)
		if err = sl.opener.open(&q, list, []int{root}); !isErrno(err, unix.EAGAIN) {
			break
		}
		sl.opener.process.Abandon() // it may still hold dir open
		sl.opener.process = nil
		if err := sl.opener.need(); err != nil {
			return nil, err
		}
	}
	return list, err
}

// addPlace adds the calls that open the file of a tree below dir. It tolerates ELOOP
// and EXDEV: the path contains a magic link of procfs, which leads out of dir.
func (sl *slowSources) addPlace(q *remote.Batch, dir *remote.FD, i int) opening {
	t := sl.byItem[i]
	q.Tag(i)
	fd := q.Openat2(dir, relative(t.name), unix.O_PATH|uint64(noFollow(t.nofollow)), 0, unix.RESOLVE_IN_ROOT)
	o := opening{item: i, open: q.Last()}
	o.open.Tolerate(unix.ELOOP, unix.EXDEV)
	q.SendFile(sl.opener.process.Control(), fd)
	q.Close(fd)
	o.open.OnFailSkip()
	return o
}
