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

// LiveMounts is what Visit has changed.
type LiveMounts struct {
	Made []LiveMount // in their order
	Gone []uint64    // the ids of those that were unmounted
}

// A LiveMount was made in a container that runs.
type LiveMount struct {
	Destination string
	ID          uint64 // statx(2), stx_mnt_id
}

// live is what a walk among the mounts of a container that runs keeps.
type live struct {
	ctx   context.Context // asks for an end, which waits for the batch that is under way
	files *remote.FD      // /proc/self/fd of the stub, on the host
	pid   *remote.FD      // the container's pid namespace, for a procfs
	mnt   *remote.FD      // the mount namespace to enter
	made  []made
	gone  []uint64
}

// made is a mount that has been attached, and may have to be taken back.
type made struct {
	item  int
	mount *remote.FD
	stat  remote.Stat
}

// Visit walks a plan that has no program: the stub does what it says in a
// container that runs, and ends. After a failure no mounts are made, as those
// that were made before it are taken back, unless the stub does not answer any
// more.
func Visit(ctx context.Context, p *plan.Plan, job *Job) (LiveMounts, error) {
	answering, stop := outlasting(ctx, grace)
	defer stop()
	w := newWalk(answering, p, job)
	defer w.closeTrees()
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

// grace is how long the stub may take for what it is doing when it is asked to
// end: it has to be there to take back what it has done, unless it waits for a
// file system that does not answer.
const grace = 2 * time.Second

// outlasting gives a context that ends a while after ctx does.
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

// attached: a step that was taken again has tried more than once.
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

// takeBack undoes what was done before err, the last first, and says what it
// has to leave.
func (w *walk) takeBack(err error) error {
	answers := !errors.Is(err, remote.ErrTimeout)
	for _, f := range w.inflight {
		e := w.stub.Receive(f.Batch)
		if answers = answered(e); e != nil {
			break // what is behind is left out
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

// answered tells whether the stub is there to be asked more.
func answered(err error) bool {
	var ce *remote.CallError
	return err == nil || errors.As(err, &ce)
}

// detach unmounts what a descriptor stands for. The call knows no descriptors,
// but follows the link to one in /proc, whose number is a name without a
// slash.
func (w *walk) detach(b *remote.Batch, mount *remote.FD) {
	b.Fchdir(w.live.files)
	b.Umount2(strconv.Itoa(mount.Number()), unix.MNT_DETACH)
}

// put attaches a mount. Its descriptor is closed with all others when the set-up
// is done (closeFiles), which takes one call, or at once. In a container that runs
// it has to be known again, and known before the next name is looked up, which
// may be the last thing that the stub does.
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

// takeAlong opens here what is the host's, and the stub has it, ready to be
// attached, before it leaves the host's mounts.
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
	// The clones go by the tags of the mounts that they are for, and must not be
	// closed when one of those is taken again: they are of a batch of their own.
	if err := w.settle(); err != nil {
		return err
	}
	w.live.files = w.building.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY)
	w.takeNamespaces()
	return nil
}

// cloneOrigins makes trees of what the stub has to clone itself: where it goes
// it could not.
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

// takeNamespaces hands over the mount namespace, and the pid namespace that a
// procfs is for.
func (w *walk) takeNamespaces() {
	w.live.mnt = w.receive([]int{int(w.MountNamespace.Fd())}, []string{"mount namespace"})[0]
	if w.PIDNamespace != nil {
		w.live.pid = w.receive([]int{int(w.PIDNamespace.Fd())}, []string{"pid namespace"})[0]
	}
}

// enter joins the namespaces of the container's first process. Visit takes the
// mount namespace that was looked at: by now the process may be in another.
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

// unmount takes away the mount that was made, and no other: what the
// container's names lead to may be a mount that hides something, or makes it
// read-only.
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
	w.detach(w.building.Batch, fd)
	w.building.Close(fd)
	w.later(func() error {
		w.live.gone = append(w.live.gone, s.ID)
		return nil
	})
	return nil
}

// notShared refuses a destination that turns out to be on a mount that the host
// shares (mount_namespaces(7)): there the new mount would be too, and stay when
// the container is gone. Before Linux 6.8 it cannot be known.
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

// inPeerGroup tells whether mountinfo has a mount of a peer group.
func inPeerGroup(mountinfo string, group uint64) bool {
	tag := "shared:" + strconv.FormatUint(group, 10)
	for line := range strings.Lines(mountinfo) {
		// The optional fields are from the seventh on, and end with "-".
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
