package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// volume is a file system that a container controls: a small FUSE server with the part of the protocol that a runtime can
// cause (<linux/fuse.h>). Every name in its root is a directory, unless the test makes it a symlink for one lookup. The
// kernel caches no answer.
type volume struct {
	t    testing.TB
	dir  string
	fd   int
	dead atomic.Bool // the server reads no requests
	mute atomic.Bool // the server reads requests and answers none: not even SIGKILL ends the waiting process
	// taken counts the requests that were read. The kernel can still give up an unread one.
	taken atomic.Int64

	mu      sync.Mutex
	lookups map[string]int
	// link returns the target of the symlink at the n-th lookup of a name, "" for a directory.
	link  func(name string, n int) string
	links []string // targets; their node ids count from linkNode
	dirs  []string // names; their node ids count from dirNode
}

// Node ids: the root has 1. Each name has a directory of its own, because a directory inode has only one place.
const (
	dirNode  = 2
	linkNode = 1 << 20
)

// newVolume mounts a volume. At the end of the test it unmounts it and ends all processes that wait for it.
func newVolume(t testing.TB, dir string) *volume {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	if err := unix.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("hostile", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd)); err != nil {
		t.Fatal(err)
	}
	v := &volume{t: t, dir: dir, fd: fd, lookups: map[string]int{}}
	served := make(chan struct{})
	go func() { defer close(served); v.serve() }()
	t.Cleanup(func() {
		v.dead.Store(false)
		unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) // ends all waits for an answer
		unix.Unmount(dir, unix.MNT_DETACH)
		<-served
		unix.Close(fd)
	})
	return v
}

// seen returns the number of lookups of a name.
func (v *volume) seen(name string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lookups[name]
}

func (v *volume) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lookups = map[string]int{}
}

// requestHeader is struct fuse_in_header.
type requestHeader struct {
	Len, Opcode   uint32
	Unique, Node  uint64
	UID, GID, PID uint32
	_             uint32
}

// serve answers until the file system is unmounted.
func (v *volume) serve() {
	buf := make([]byte, 1<<20)
	for {
		unix.Poll([]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}, -1)
		if v.dead.Load() {
			time.Sleep(time.Millisecond)
			continue
		}
		n, err := unix.Read(v.fd, buf)
		if err == unix.EINTR || err == unix.ENOENT || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return // ENODEV: unmounted
		}
		var h requestHeader
		binary.Decode(buf, binary.LittleEndian, &h)
		if v.mute.Load() {
			v.taken.Add(1)
			continue
		}
		answer, errno := v.answer(h, buf[binary.Size(h):n])
		if errno == noAnswer {
			continue
		}
		out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(answer)))
		out = binary.LittleEndian.AppendUint32(out, uint32(-int32(errno)))
		out = binary.LittleEndian.AppendUint64(out, h.Unique)
		unix.Write(v.fd, append(out, answer...))
	}
}

const noAnswer = unix.Errno(1 << 20)

func (v *volume) answer(h requestHeader, body []byte) ([]byte, unix.Errno) {
	switch h.Opcode {
	case 1: // LOOKUP
		node := v.lookup(string(bytes.TrimRight(body, "\x00")))
		return encode([5]uint64{node}, attrOf(node)), 0 // struct fuse_entry_out, valid for no time
	case 2, 36, 42: // FORGET, INTERRUPT, BATCH_FORGET
		return nil, noAnswer
	case 3: // GETATTR
		return encode([2]uint64{}, attrOf(h.Node)), 0
	case 5: // READLINK
		v.mu.Lock()
		defer v.mu.Unlock()
		return []byte(v.links[h.Node-linkNode]), 0
	case 17: // STATFS
		return make([]byte, 80), 0
	case 26: // INIT, version 7.31
		return encode([16]uint32{7, 31, 0, 0, 0, 1 << 17}), 0
	case 18, 25, 27, 28, 29, 34: // RELEASE, FLUSH, OPENDIR, READDIR, RELEASEDIR, ACCESS
		if h.Opcode == 27 {
			return make([]byte, 16), 0
		}
		return nil, 0
	}
	return nil, unix.ENOSYS
}

func (v *volume) lookup(name string) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lookups[name]++
	if v.link != nil {
		if to := v.link(name, v.lookups[name]); to != "" {
			v.links = append(v.links, to)
			return linkNode + uint64(len(v.links)) - 1
		}
	}
	if !slices.Contains(v.dirs, name) {
		v.dirs = append(v.dirs, name)
	}
	return dirNode + uint64(slices.Index(v.dirs, name))
}

// attr is struct fuse_attr.
type attr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                                       uint64
	AtimeNsec, MtimeNsec, CtimeNsec, Mode, Nlink, UID, GID, Rdev, Blksize, Flags uint32
}

func attrOf(node uint64) attr {
	mode := uint32(unix.S_IFDIR | 0o755)
	if node >= linkNode {
		mode = unix.S_IFLNK | 0o777
	}
	return attr{Ino: node, Mode: mode, Nlink: 2, Blksize: 4096}
}

func encode(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		out, _ = binary.Append(out, binary.LittleEndian, p)
	}
	return out
}
