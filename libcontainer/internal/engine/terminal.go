package engine

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// terminal opens a pseudo-terminal in the container's devpts, sends the master to
// the runtime side, and makes the other end the standard streams. It opens the
// other end through the master, not by name: the container could have covered
// the name (CVE-2025-52565).
func (w *walk) terminal(s plan.Terminal) error {
	b := w.building
	master := w.openMaster()
	b.IoctlMem(master, "TIOCSPTLCK", unix.TIOCSPTLCK, make([]byte, 4))
	if s.Width|s.Height != 0 {
		b.IoctlMem(master, "TIOCSWINSZ", unix.TIOCSWINSZ, []byte{byte(s.Height), byte(s.Height >> 8), byte(s.Width), byte(s.Width >> 8), 0, 0, 0, 0})
	}
	st := b.Statx(master, "", 0)
	peer := b.IoctlOpen(master, "terminal", "TIOCGPTPEER", unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	b.SendFile(w.stub.Control(), master)
	b.Close(master)
	if s.Console.Path != "" {
		to := w.target(s.Console, true, unix.O_NOFOLLOW, remote.InRoot)
		m := b.OpenTree(peer, "", false)
		b.MoveMount(m, to)
		b.Close(to)
		b.Close(m)
	}
	for fd := range 3 {
		b.Dup3(peer, fd, false)
	}
	if !w.clones() {
		b.IoctlInt(peer, "TIOCSCTTY", unix.TIOCSCTTY, 0)
	}
	b.Close(peer)
	batch := b.Batch
	w.later(func() error { return w.sendConsole(&batch, st.Get()) })
	return nil
}

// openMaster opens ptmx of the plan's own devpts. Without such a mount it opens
// the one in the root file system, and sendConsole checks that it is a ptmx.
func (w *walk) openMaster() *remote.FD {
	if pts := w.kept["/dev/pts"]; pts != nil {
		return w.building.Openat2(pts, "ptmx", unix.O_RDWR|unix.O_NOCTTY, 0, remote.Beneath)
	}
	root := w.root
	if root == nil {
		// exec: this is the root of the mount namespace that the stub has joined.
		root = w.building.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	}
	multiplexer := "dev/pts/ptmx"
	if w.closedPts {
		multiplexer = "dev/ptmx"
	}
	return w.building.Openat2(root, multiplexer, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0, remote.InRoot|unix.RESOLVE_NO_SYMLINKS)
}

func (w *walk) sendConsole(b *remote.Batch, st unix.Statx_t) error {
	files := b.Files()
	if len(files) != 1 {
		return errors.New("no pseudo-terminal arrived from the container side")
	}
	master := files[0]
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev_major != 5 || st.Rdev_minor != 2 {
		master.Close()
		return errors.New("ptmx in the container is not the pseudo-terminal multiplexer (5:2)")
	}
	return w.giveAway(master)
}

// giveAway hands over the master as a file with the name that engines expect.
// Fd makes the open file description blocking again: the receiver shares this
// flag.
func (w *walk) giveAway(master *os.File) error {
	defer master.Close()
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return w.Console(os.NewFile(uintptr(fd), "/dev/ptmx"))
}

func (w *walk) slowTerminal(it plan.Item, s plan.Terminal, ce *remote.CallError) (bool, error) {
	if isCall(ce, "openat2") && ce.Errno == unix.ENOENT {
		if s.Console.Path != "" && w.hasMaster() {
			return true, w.makeMountpoint(it, s.Console.Path, true)
		}
		return false, hint(it, ce, "a terminal takes a devpts mounted on /dev/pts in the container")
	}
	if isCall(ce, "openat2") && ce.Errno == unix.EACCES && !w.closedPts {
		w.closedPts = true // the host's devpts, whose ptmx nobody may open (ptmxmode=000)
		return true, nil
	}
	if isCall(ce, "openat2") && ce.Errno == unix.ELOOP && s.Console.Path != "" {
		return false, hint(it, ce, path.Base(s.Console.Path)+" must not be a symlink")
	}
	return false, nil
}

func (w *walk) hasMaster() bool { return w.kept["/dev/pts"] != nil }

// clones reports whether the program is a clone of the stub. Then the terminal
// belongs to the clone's session.
func (w *walk) clones() bool {
	for _, it := range w.items {
		if _, ok := it.Step.(plan.CloneInto); ok {
			return true
		}
	}
	return false
}

func (w *walk) hasTerminal() bool {
	for _, it := range w.items {
		if _, ok := it.Step.(plan.Terminal); ok {
			return true
		}
	}
	return false
}
