package engine

import (
	"maps"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// origins has the stub clone the sources that this process must not clone.
//
// When the kernel copies a mount namespace for another user namespace, it locks
// two things in the copy: the restrictions of the mounts (ro, nosuid, nodev,
// noexec), and mounts on top of others (mount_namespaces(7), "Restrictions on
// mount namespaces").
//
// A tree that the runtime side has cloned is not part of the copy, and nothing in
// it is locked. The root of a container with a user namespace could write to a
// read-only mount of the host, or unmount a mount that hides something. So the
// stub clones such trees, from the copy. The place to clone is the tree's origin:
// an O_PATH descriptor in the stub's mount namespace, which the runtime side
// opens.
//
// A runtime without privilege may not clone trees at all. Then the stub also opens
// the origins itself.
type origins struct {
	*trees
	slow *slowSources
}

// locate replaces the trees that the stub has to clone by their origins. At this
// point the stub has its mount namespace, and nothing is mounted in it yet: each
// path leads to the same file as on the host.
func (or *origins) locate(items []int) error {
	var relocate, open []int
	for _, i := range items {
		switch t := or.byItem[i]; {
		case t == nil || t.origin:
		case t.fd < 0 && t.there == nil:
			open = append(open, i)
		case t.elsewhere:
			relocate = append(relocate, i)
		}
	}
	if len(relocate)+len(open) == 0 {
		return nil
	}
	if err := or.settle(); err != nil {
		return err
	}
	if err := or.openOrigins(open); err != nil {
		return err
	}
	return or.relocate(relocate)
}

func (or *origins) relocate(items []int) error {
	if len(items) == 0 {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(or.stub.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open the stub's root", err)
	}
	defer unix.Close(root)
	files, err := or.openAll(root, items)
	if err != nil {
		return err
	}
	for _, i := range items {
		or.byItem[i].relocate(files[i])
	}
	return nil
}

// openAll opens the files of trees in the mount namespace of root. Any of them may
// be on a volume that does not answer.
func (or *origins) openAll(root int, items []int) (map[int]int, error) {
	files := map[int]int{}
	var slow []int
	var err error
	for _, i := range items {
		fd, e := or.byItem[i].find(root)
		if e == unix.EAGAIN {
			slow = append(slow, i)
			continue
		}
		if e != nil {
			err = failed(or.items[i], e)
			break
		}
		files[i] = fd
	}
	if err == nil {
		err = or.slow.findSlowly(root, slow, files)
	}
	for i, fd := range files {
		if err == nil && fd >= 0 {
			if e := or.byItem[i].sameAs(fd); e != nil {
				err = failed(or.items[i], e)
			}
		}
	}
	if err != nil {
		closeFds(slices.DeleteFunc(slices.Collect(maps.Values(files)), func(fd int) bool { return fd < 0 }))
		return nil, err
	}
	return files, nil
}

// openOrigins has the stub open the origins of sources that the runtime side may
// not clone. It also asks for their types: a missing mountpoint gets the same type.
func (or *origins) openOrigins(items []int) error {
	if len(items) == 0 {
		return nil
	}
	stats := make([]remote.Stat, len(items))
	tag := or.at
	for n, i := range items {
		source, _, nofollow := hostSource(or.items[i].Step)
		flags := uint64(unix.O_PATH)
		if nofollow {
			flags |= unix.O_NOFOLLOW
		}
		or.building.Tag(i)
		or.byItem[i].there = or.building.Open(source, flags)
		stats[n] = or.building.Statx(or.byItem[i].there, "", 0)
	}
	or.building.Tag(tag)
	if err := or.settle(); err != nil {
		return err
	}
	for n, i := range items {
		st := stats[n].Get()
		or.byItem[i].origin, or.byItem[i].kind = true, st.Mode&unix.S_IFMT
		if d, ok := hostDevice(or.items[i].Step); ok && !isDevice(d, uint32(st.Mode), unix.Mkdev(st.Rdev_major, st.Rdev_minor)) {
			return failed(or.items[i], notDevice(d.FromHost, d))
		}
	}
	return nil
}

// clone clones the trees that the stub itself has to clone. After the
// stub has entered the container's mount namespace, the kernel would refuse it.
func (or *origins) clone() {
	tag := or.at
	for _, i := range or.all() {
		t := or.byItem[i]
		if !t.origin {
			continue
		}
		_, recursive, _ := hostSource(or.items[i].Step)
		or.building.Tag(i)
		t.there = or.mountOf(t, recursive, false)
		t.origin = false
	}
	or.building.Tag(tag)
}
