package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// LiveMounts lists the changes that Visit made.
type LiveMounts struct {
	Made []LiveMount // in order
	Gone []uint64    // ids of the unmounted mounts
}

// LiveMount is a mount that Visit made in a running container.
type LiveMount struct {
	Destination string
	ID          uint64 // statx(2), stx_mnt_id
}

// live is the additional state of a walk among the mounts of a running container.
type live struct {
	ctx   context.Context // asks for an end; the present batch is still finished
	files *remote.FD      // /proc/self/fd of the stub in the host's procfs
	pid   *remote.FD      // the pid namespace of the container, for a procfs
	mnt   *remote.FD      // the mount namespace to enter
	made  []made
	gone  []uint64
}

// made is a mount that a step attaches. takeBack detaches it after a failure.
type made struct {
	item  int
	mount *remote.FD
	stat  remote.Stat
}

// Visit walks a plan without a program: the stub takes the steps in a running
// container and ends. After a failure Visit unmounts what it had mounted before,
// so the container is unchanged. If the stub no longer answers, the mounts stay;
// LiveMounts lists them and the error says so.
func Visit(ctx context.Context, p *plan.Plan, job *Job) (LiveMounts, error) {
	answering, stop := outlasting(ctx, grace)
	defer stop()
	w := newWalk(answering, p, job)
	defer w.closeTrees()
	defer w.abandonOpener()
	w.live = &live{ctx: ctx}
	_, err := w.guarded(func() (*Process, error) {
		program, err := w.steps()
		if program {
			err = errors.New("BUG: the plan has a program")
		}
		return nil, err
	})
	if w.stub == nil {
		return LiveMounts{}, err
	}
	defer w.stub.Kill()
	if err != nil {
		err = w.takeBack(err)
	}
	return LiveMounts{w.madeMounts(), w.live.gone}, err
}

// grace is the time that the stub has for the present batch when ctx ends. The
// stub is needed afterwards, to unmount what it has mounted. It does not get
// longer, because it may be waiting for a file system that does not answer.
const grace = 2 * time.Second

// outlasting returns a context that ends d after ctx ends.
func outlasting(ctx context.Context, d time.Duration) (context.Context, func()) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
	})
	return later, func() {
		stop()
		cancel(nil)
	}
}

func (w *walk) madeMounts() []LiveMount {
	var out []LiveMount
	for _, m := range w.live.made {
		if m.attached() {
			out = append(out, LiveMount{placeOf(w.items[m.item].Step), m.stat.Get().Mnt_id})
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
func (w *walk) takeBack(err error) error {
	answers := !errors.Is(err, remote.ErrTimeout)
	for _, f := range w.inflight {
		e := w.stub.Receive(&f.Batch)
		if answers = answered(e); e != nil {
			break // the stub drops the batches behind this one
		}
	}
	w.inflight = nil
	for i := len(w.live.made) - 1; i >= 0; i-- {
		m := &w.live.made[i]
		if !m.attached() {
			continue
		}
		if answers {
			var q remote.Batch
			w.detach(&q, m.mount)
			q.Close(m.mount)
			e := w.ask(&q)
			answers = answered(e)
			if e == nil {
				continue
			}
		}
		err = fmt.Errorf("%s stays mounted: %w", placeOf(w.items[m.item].Step), err)
	}
	return err
}

// answered reports whether the stub can execute more batches.
func answered(err error) bool {
	var ce *remote.CallError
	return err == nil || errors.As(err, &ce)
}

// detach unmounts the mount behind a descriptor. umount2(2) takes a path, but it
// follows the symlink in /proc/self/fd. The working directory is that directory
// in the host's procfs, and the number is a name without a slash. So the lookup
// touches no directory of the container.
func (w *walk) detach(b *remote.Batch, mount *remote.FD) {
	b.Fchdir(w.live.files)
	b.Umount2(strconv.Itoa(mount.Number()), unix.MNT_DETACH)
}

// put attaches a mount. Usually closeFiles closes its descriptor, with all others
// in one call; with lettingGo the stub closes it at once.
//
// In a running container the mount's id has to be known, so that it can be found
// again. It has to be known before the stub looks up the next name: that lookup
// may hang forever on a file system of the container.
func (w *walk) put(m, to *remote.FD, keep bool) error {
	b := w.building
	b.MoveMount(m, to)
	b.Close(to)
	switch {
	case w.live != nil:
		w.live.made = append(w.live.made, made{w.at, m, b.Statx(m, "", 0)})
		return w.settle()
	case !keep && w.lettingGo:
		b.Close(m)
	}
	return nil
}

// takeAlong opens the host's files and hands them to the stub, ready to be
// attached, before the stub leaves the host's mounts. Inside the container's
// mount namespace the stub can neither clone a tree of the host nor find
// the host's procfs.
func (w *walk) takeAlong() error {
	if err := w.meanwhile(); err != nil {
		return err
	}
	if err := w.origins(w.all()); err != nil {
		return err
	}
	if err := w.mapTrees(); err != nil {
		return err
	}
	w.receiveTrees()
	w.cloneOrigins()
	// The clones have the tags of their mounts. They are in a batch of their
	// own: a repeated step closes the descriptors of its tag in the same batch.
	if err := w.settle(); err != nil {
		return err
	}
	w.live.files = w.building.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY)
	w.takeNamespaces()
	return nil
}

// cloneOrigins clones the trees that the stub itself has to clone. After the
// stub has entered the container's mount namespace, the kernel would refuse it.
func (w *walk) cloneOrigins() {
	tag := w.at
	for _, i := range w.all() {
		t := w.trees[i]
		if !t.origin {
			continue
		}
		_, recursive, _ := hostSource(w.items[i].Step)
		w.building.Tag(i)
		t.there = w.mountOf(t, recursive, false)
		t.origin = false
	}
	w.building.Tag(tag)
}

// takeNamespaces hands over the mount namespace, and the pid namespace for a
// procfs.
func (w *walk) takeNamespaces() {
	w.live.mnt = w.receive([]int{int(w.MountNamespace.Fd())}, []string{"mount namespace"})[0]
	if w.PIDNamespace != nil {
		w.live.pid = w.receive([]int{int(w.PIDNamespace.Fd())}, []string{"pid namespace"})[0]
	}
}

// enter joins the namespaces of the container's first process. Visit enters the
// mount namespace that the runtime side has checked: the process may be in
// another one by now.
func (w *walk) enter(s plan.Enter) error {
	flags := s.Flags
	if w.live != nil {
		flags &^= unix.CLONE_NEWNS
	}
	if flags != 0 {
		w.building.Setns(remote.Inherited(w.layout.enter, "the container's first process"), flags)
	}
	if flags != s.Flags {
		w.building.Setns(w.live.mnt, unix.CLONE_NEWNS)
	}
	return nil
}

func (w *walk) holdRoot() {
	w.root = w.building.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	w.root.SetName("rootfs")
}

// unmount detaches the mount with the recorded id, and no other. The
// destination is a name in the container, which may lead to a mask or to a
// read-only mount by now.
func (w *walk) unmount(s plan.Unmount) error {
	b := w.building
	fd := b.Openat2(w.root, relative(s.At.Path), unix.O_PATH, 0, remote.InRoot)
	st := b.Statx(fd, "", 0)
	if err := w.settle(); err != nil {
		return err
	}
	if st.Get().Mnt_id != s.ID {
		return fmt.Errorf("it is not what was mounted there any more: %w", unix.EINVAL)
	}
	w.detach(&w.building.Batch, fd)
	w.building.Close(fd)
	w.later(func() error {
		w.live.gone = append(w.live.gone, s.ID)
		return nil
	})
	return nil
}

// notShared refuses a destination on a mount that is shared with the host
// (mount_namespaces(7)). There the new mount would appear on the host too, and
// stay after the container's end. Before Linux 6.8 there is no statmount, and
// the check is left out.
func (w *walk) notShared(to *remote.FD, at plan.Place) error {
	st := w.building.Statx(to, "", 0)
	if err := w.settle(); err != nil {
		return err
	}
	m := w.building.Statmount(st.Get().Mnt_id)
	m.Tolerate(unix.ENOSYS)
	if err := w.settle(); err != nil {
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
		return fmt.Errorf("%s is on a mount that is shared with the host, where the new one would appear too: %w", at.Path, unix.EPERM)
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
