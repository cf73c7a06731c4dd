package engine

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// visit owns the changes of a walk among the mounts of a running container.
type visit struct {
	*batches
	sources *sources
	files   *remote.FD // /proc/self/fd of the stub in the host's procfs
	pid     *remote.FD // the pid namespace of the container, for a procfs
	mnt     *remote.FD // the mount namespace to enter
	made    []made
	gone    []uint64 // ids of the unmounted mounts
}

// made is a mount that a step attaches. takeBack detaches it after a failure.
type made struct {
	item  int
	mount *remote.FD
	stat  remote.Stat
}

func (v *visit) mounts() []LiveMount {
	var out []LiveMount
	for _, m := range v.made {
		if m.attached() {
			out = append(out, LiveMount{placeOf(v.items[m.item].Step), m.stat.Get().Mnt_id})
		}
	}
	return out
}

// attached reports whether the mount is in place. A repeated step leaves an
// entry for each try; the entries of failed tries are not attached.
func (m *made) attached() bool {
	return m.mount.Number() >= 0 && m.stat.Ran() && m.stat.Errno() == 0
}

func placeOf(s plan.Step) string {
	switch s := s.(type) {
	case plan.Mount:
		return s.At.Path
	case plan.Bind:
		return s.At.Path
	}
	panic("BUG: no mount: " + plan.Name(s))
}

// takeBack unmounts the mounts made before err, the last one first. It adds the
// mounts that it cannot unmount to the error.
func (v *visit) takeBack(err error) error {
	answers := !errors.Is(err, remote.ErrTimeout)
	for _, f := range v.inflight {
		e := v.stub.Receive(&f.Batch)
		if answers = answered(e); e != nil {
			break // the stub drops the batches behind this one
		}
	}
	v.inflight = nil
	for i := len(v.made) - 1; i >= 0; i-- {
		m := &v.made[i]
		if !m.attached() {
			continue
		}
		if answers {
			var q remote.Batch
			v.detach(&q, m.mount)
			q.Close(m.mount)
			e := v.ask(&q)
			answers = answered(e)
			if e == nil {
				continue
			}
		}
		err = fmt.Errorf("%s stays mounted: %w", placeOf(v.items[m.item].Step), err)
	}
	return err
}

// detach unmounts the mount behind a descriptor. umount2(2) takes a path, but it
// follows the symlink in /proc/self/fd. The working directory is that directory
// in the host's procfs, and the number is a name without a slash. So the lookup
// touches no directory of the container.
func (v *visit) detach(b *remote.Batch, mount *remote.FD) {
	b.Fchdir(v.files)
	b.Umount2(strconv.Itoa(mount.Number()), unix.MNT_DETACH)
}

// takeAlong opens the host's files and hands them to the stub, ready to be
// attached, before the stub leaves the host's mounts. Inside the container's
// mount namespace the stub can neither clone a tree of the host nor find
// the host's procfs.
func (v *visit) takeAlong() error {
	if err := v.sources.deliver(); err != nil {
		return err
	}
	v.sources.origins.clone()
	// The clones have the tags of their mounts. They are in a batch of their
	// own: a repeated step closes the descriptors of its tag in the same batch.
	if err := v.settle(); err != nil {
		return err
	}
	v.files = v.building.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY)
	v.takeNamespaces()
	return nil
}

// takeNamespaces hands over the mount namespace, and the pid namespace for a
// procfs.
func (v *visit) takeNamespaces() {
	v.mnt = v.receive([]int{int(v.job.MountNamespace.Fd())}, []string{"mount namespace"})[0]
	if v.job.PIDNamespace != nil {
		v.pid = v.receive([]int{int(v.job.PIDNamespace.Fd())}, []string{"pid namespace"})[0]
	}
}

// enter joins the namespaces of the container's first process. It enters the mount
// namespace that the runtime side has checked: the process may be in another one by
// now.
func (v *visit) enter(s plan.Enter) {
	v.enterFirst(s.Flags &^ unix.CLONE_NEWNS)
	if s.Flags&unix.CLONE_NEWNS != 0 {
		v.building.Setns(v.mnt, unix.CLONE_NEWNS)
	}
}

// notShared refuses a destination on a mount that is shared with the host
// (mount_namespaces(7)). There the new mount would appear on the host too, and
// stay after the container's end. Before Linux 6.8 there is no statmount, and
// the check is left out.
func (v *visit) notShared(to *remote.FD, at plan.Place) error {
	st := v.building.Statx(to, "", 0)
	if err := v.settle(); err != nil {
		return err
	}
	m := v.building.Statmount(st.Get().Mnt_id)
	m.Tolerate(unix.ENOSYS)
	if err := v.settle(); err != nil {
		return err
	}
	if m.Errno() != 0 || m.PeerGroup() == 0 {
		return nil
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if inPeerGroup(string(mountinfo), m.PeerGroup()) {
		return fmt.Errorf("%s is on a mount that is shared with the host: the new mount would appear there too: %w", at.Path, unix.EPERM)
	}
	return nil
}

// inPeerGroup reports whether mountinfo lists a mount of the peer group.
func inPeerGroup(mountinfo string, group uint64) bool {
	tag := "shared:" + strconv.FormatUint(group, 10)
	for line := range strings.Lines(mountinfo) {
		// The optional fields begin with the seventh; "-" ends them.
		fields := strings.Fields(line)
		for _, f := range fields[min(6, len(fields)):] {
			if f == "-" {
				break
			}
			if f == tag {
				return true
			}
		}
	}
	return false
}
