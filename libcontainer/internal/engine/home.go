package engine

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// home looks up the user's home directory.
type home struct {
	*rootfs
	dir   string
	final bool // the slow path has set dir
}

// lookUp has the stub read the container's passwd: the file system may never
// answer, and the runtime side must not wait for it. With O_NONBLOCK a FIFO reads
// as empty.
//
// One read suffices for nearly all images. A longer file ends the batch on
// purpose, with a call that always fails, and slow reads all of it. This
// cannot happen later: the stub may have neither the root's descriptor nor the
// right to read the file then.
func (h *home) lookUp(s plan.Home) error {
	if h.final {
		return nil
	}
	b := h.building
	fd := h.openPasswd(&b.Batch)
	open := b.Last().Tolerate(unix.ENOENT, unix.ENOTDIR)
	read, buf := b.Read(fd, passwdChunk)
	more, _ := b.Read(fd, 1)
	b.Prctl("more of /etc/passwd", noOption)
	more.OnZeroSkip()
	b.Close(fd)
	open.OnFailSkip()
	h.dir = "/"
	h.later(func() error {
		if open.Errno() == 0 {
			h.dir = homeOf(buf.First(read.Value()), s.UID)
		}
		return nil
	})
	return nil
}

func (h *home) openPasswd(b *remote.Batch) *remote.FD {
	root := h.root
	if root == nil {
		root = b.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	}
	return b.Openat2(root, "etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0, remote.InRoot)
}

const (
	// passwdChunk is larger than nearly every image's passwd.
	passwdChunk = 4 << 10
	// passwdMax bounds the part that is read: 10,000 users.
	passwdMax = 1 << 20
	// noOption is not an option of prctl(2): the call fails and ends the batch.
	noOption = -1
)

// slow reads a long passwd. If root may not read the file, or it is no
// regular file, the home directory is "/". Every other error fails the walk.
func (h *home) slow(s plan.Home, ce *remote.CallError) (bool, error) {
	switch {
	case ce.Nr == unix.SYS_PRCTL:
		text, err := h.readPasswd()
		if err != nil {
			return false, err
		}
		h.dir, h.final = homeOf(text, s.UID), true
	case ce.Nr == unix.SYS_OPENAT2 && isErrno(ce, unix.EACCES, unix.EPERM, unix.ELOOP, unix.ENXIO, unix.ENODEV),
		ce.Nr == unix.SYS_READ && isErrno(ce, unix.EISDIR, unix.EINVAL, unix.EAGAIN):
		h.dir, h.final = "/", true
	}
	return h.final, nil
}

// readPasswd reads the passwd up to passwdMax bytes.
func (h *home) readPasswd() ([]byte, error) {
	var open remote.Batch
	fd := h.openPasswd(&open)
	if err := h.ask(&open); err != nil {
		return nil, err
	}
	var text []byte
	for len(text) < passwdMax {
		var q remote.Batch
		r, buf := q.Read(fd, 64<<10)
		if err := h.ask(&q); err != nil {
			return nil, err
		}
		if r.Value() == 0 {
			break
		}
		text = append(text, buf.First(r.Value())...)
	}
	return text, h.closeAll(open.Opened(0))
}

// homeOf returns the home directory of uid in a passwd(5), or "/" without one.
// Some files leave out the last field, the shell.
func homeOf(passwd []byte, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) >= 6 && f[2] == want && f[5] != "" {
			return f[5]
		}
	}
	return "/"
}
