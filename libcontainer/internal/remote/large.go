package remote

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Large is data that no batch has room for, in memory of the stub's.
type Large struct{ n int }

const (
	// LargeData is the size from which data goes ahead of its batch: a batch that
	// is nearly full has room for less.
	LargeData = 32 << 10
	// largeBase is far from the image, the arena, a program and the stack.
	largeBase = 0x80000000
)

// LoadLarge brings data into the stub, in the place of what was there before.
func (s *Stub) LoadLarge(p []byte) (Large, error) {
	return Large{len(p)}, s.load(p, largeBase)
}

// load maps a copy of p at an address. It comes as a memory file, not as messages:
// a stub that cannot map it, for want of memory, say, leaves the descriptor alone
// and would take messages for batches.
func (s *Stub) load(p []byte, address uint64) error {
	file, err := memoryFile(p)
	if err != nil {
		return err
	}
	defer file.Close()
	var b Batch
	fd := b.ReceiveFiles(s.Control(), []string{"data"})[0]
	b.call("mmap", unix.SYS_MMAP, Hex(address), Int(len(p)), Hex(unix.PROT_READ), Hex(unix.MAP_PRIVATE|unix.MAP_FIXED), fdArg(fd), Int(0))
	b.Close(fd)
	if err := s.Send(&b); err != nil {
		return err
	}
	if err := s.SendFiles(&b, []int{int(file.Fd())}); err != nil {
		return err
	}
	return s.Receive(&b)
}

func memoryFile(p []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("onggi", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before 6.3
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

// Unload frees it.
func (b *Batch) Unload(l Large) {
	b.call("munmap", unix.SYS_MUNMAP, Hex(largeBase), Int(l.n))
}

// SetgroupsLarge is Setgroups of what was loaded, as GroupList lays it out.
func (b *Batch) SetgroupsLarge(l Large) Result {
	return b.call("setgroups", unix.SYS_SETGROUPS, Int(l.n/4), Hex(largeBase))
}
