package remote

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Large is data in the stub's memory that is too large for a batch.
type Large struct{ n int }

const (
	// LargeData is the size from which data is loaded before its batch. It is
	// below ArenaSize, because the rest of the batch needs room too.
	LargeData = 32 << 10
	// largeBase is far from the image, the arena, a loaded Program and the stack.
	largeBase = 0x80000000
)

// LoadLarge loads data into the stub. It overwrites data loaded before.
func (s *Stub) LoadLarge(p []byte) (Large, error) {
	return Large{len(p)}, s.load(p, largeBase)
}

// load maps a copy of p at an address of the stub. The data comes as a memory file, not
// as messages. If the stub cannot map it, for example for lack of memory, the descriptor
// stays in the socket without harm. Messages with data would be taken for batches.
func (s *Stub) load(p []byte, address uint64) error {
	file, err := memoryFile(p)
	if err != nil {
		return err
	}
	defer file.Close()
	var b Batch
	fd := b.ReceiveFiles(s.Control(), []string{"data"})[0]
	const arguments = runtime.GOARCH == "s390x" // mmap has one argument there: their address
	if !arguments {
		b.mapFile(fd, len(p), address)
	}
	if err := s.Send(&b); err != nil {
		return err
	}
	if err := s.SendFiles(&b, []int{int(file.Fd())}); err != nil {
		return err
	}
	if err := s.Receive(&b); err != nil || !arguments {
		return err
	}
	b = Batch{}
	in := b.words(address, uint64(len(p)), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED, uint64(fd.Number()), 0)
	b.call("mmap", unix.SYS_MMAP, in)
	b.Close(fd)
	return s.Do(&b)
}

// mapFile maps a file of n bytes at an address, and closes it.
func (b *Batch) mapFile(fd *FD, n int, address uint64) {
	b.call("mmap", unix.SYS_MMAP, Hex(address), Int(n), Hex(unix.PROT_READ), Hex(unix.MAP_PRIVATE|unix.MAP_FIXED), fdArg(fd), Int(0))
	b.Close(fd)
}

func memoryFile(p []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("onggi", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("onggi", flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "data")
	if _, err := file.Write(p); err != nil {
		file.Close()
		return nil, fmt.Errorf("write %d bytes to a memfd: %w", len(p), err)
	}
	return file, nil
}

// Unload unmaps the data.
func (b *Batch) Unload(l Large) {
	b.call("munmap", unix.SYS_MUNMAP, Hex(largeBase), Int(l.n))
}

// SetgroupsLarge is like Setgroups, for loaded data in the form of GroupList.
func (b *Batch) SetgroupsLarge(l Large) Result {
	return b.call("setgroups", unix.SYS_SETGROUPS, Int(l.n/4), Hex(largeBase))
}
