package engine

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// terminal opens the container's pseudo-terminal.
type terminal struct {
	*rootfs
	points    *mountpoints
	closedPts bool // /dev/pts/ptmx may not be opened; use /dev/ptmx
}

// open opens a pseudo-terminal in the container's devpts, sends the master to
// the runtime side, and makes the other end the standard streams. It opens the
// other end through the master, not by name: the container could have covered
// the name (CVE-2025-52565).
func (t *terminal) open(s plan.Terminal) error {
	b := t.building
	master := t.openMaster()
	b.IoctlMem(master, "TIOCSPTLCK", unix.TIOCSPTLCK, make([]byte, 4))
	if s.Width|s.Height != 0 {
		b.IoctlMem(master, "TIOCSWINSZ", unix.TIOCSWINSZ, []byte{byte(s.Height), byte(s.Height >> 8), byte(s.Width), byte(s.Width >> 8), 0, 0, 0, 0})
	}
	st := b.Statx(master, "", 0)
	peer := b.IoctlOpen(master, "terminal", "TIOCGPTPEER", unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	b.SendFile(t.stub.Control(), master)
	b.Close(master)
	if s.Console.Path != "" {
		to := t.target(s.Console, true, unix.O_NOFOLLOW, remote.InRoot)
		m := b.OpenTree(peer, "", false)
		b.MoveMount(m, to)
		b.Close(to)
		b.Close(m)
	}
	for fd := range 3 {
		b.Dup3(peer, fd, false)
	}
	if !t.clones() {
		b.IoctlInt(peer, "TIOCSCTTY", unix.TIOCSCTTY, 0)
	}
	b.Close(peer)
	batch := b.Batch
	t.later(func() error { return t.sendConsole(&batch, st.Get()) })
	return nil
}

// openMaster opens ptmx of the plan's own devpts. Without such a mount it opens
// the one in the root file system, and sendConsole checks that it is a ptmx.
func (t *terminal) openMaster() *remote.FD {
	if pts := t.kept["/dev/pts"]; pts != nil {
		return t.building.Openat2(pts, "ptmx", unix.O_RDWR|unix.O_NOCTTY, 0, remote.Beneath)
	}
	root := t.root
	if root == nil {
		// exec: this is the root of the mount namespace that the stub has joined.
		root = t.building.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	}
	multiplexer := "dev/pts/ptmx"
	if t.closedPts {
		multiplexer = "dev/ptmx"
	}
	return t.building.Openat2(root, multiplexer, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0, remote.InRoot|unix.RESOLVE_NO_SYMLINKS)
}

func (t *terminal) sendConsole(b *remote.Batch, st unix.Statx_t) error {
	files := b.Files()
	if len(files) != 1 {
		return errors.New("no pseudo-terminal arrived from the container side")
	}
	master := files[0]
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev_major != 5 || st.Rdev_minor != 2 {
		master.Close()
		return errors.New("ptmx in the container is not the pseudo-terminal multiplexer (5:2)")
	}
	return t.giveAway(master)
}

// giveAway hands over the master as a file with the name that engines expect.
// Fd makes the open file description blocking again: the receiver shares this
// flag.
func (t *terminal) giveAway(master *os.File) error {
	defer master.Close()
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return t.job.Console(os.NewFile(uintptr(fd), "/dev/ptmx"))
}

func (t *terminal) slow(it plan.Item, s plan.Terminal, ce *remote.CallError) (bool, error) {
	if ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ENOENT {
		if s.Console.Path != "" && t.hasMaster() {
			return true, t.points.create(it, s.Console.Path, true)
		}
		return false, hint(it, ce, "a terminal requires a devpts mounted on /dev/pts in the container")
	}
	if ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.EACCES && !t.closedPts {
		t.closedPts = true // the host's devpts, whose ptmx nobody may open (ptmxmode=000)
		return true, nil
	}
	if ce.Nr == unix.SYS_OPENAT2 && ce.Errno == unix.ELOOP && s.Console.Path != "" {
		return false, hint(it, ce, path.Base(s.Console.Path)+" must not be a symlink")
	}
	return false, nil
}

func (t *terminal) hasMaster() bool { return t.kept["/dev/pts"] != nil }
