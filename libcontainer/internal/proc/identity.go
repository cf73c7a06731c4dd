package proc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pidfsMagic is PIDFS_MAGIC of <linux/magic.h>. On pidfs (Linux 6.9, "pidfs: add
// pidfs") a pidfd has an inode number that no other process of the boot gets.
// Before that, all pidfds share the one inode of anon_inodefs.
const pidfsMagic = 0x50494446

// Identity names one process of one boot. The zero value names no process.
type Identity struct {
	Pid        int    `json:"pid"`                  // in the pid namespace of the writer
	PidfdInode uint64 `json:"pidfdInode,omitempty"` // 0 where pidfds have no inode of their own
	StartTime  uint64 `json:"startTime,omitempty"`  // clock ticks since boot; 0 where PidfdInode is known
	BootID     string `json:"bootId"`
}

// Identify names the process that has this pid now.
func Identify(pid int) (Identity, error) {
	pidfd, err := OpenPid(pid)
	if err != nil {
		return Identity{}, err
	}
	defer pidfd.Close()
	return IdentifyFd(pid, pidfd)
}

// IdentifyFd is Identify for a caller that holds a pidfd of the process, as its
// creator does.
func IdentifyFd(pid int, pidfd *os.File) (Identity, error) {
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Pid: pid, BootID: boot}
	// A security policy may not know pidfs: Debian's SELinux policy lets no
	// engine's domain ask for its type.
	if id.PidfdInode, err = pidfdInode(pidfd); err != nil && !errors.Is(err, unix.EACCES) {
		return Identity{}, err
	}
	if id.PidfdInode == 0 {
		id.StartTime, err = startTime(pid, int(pidfd.Fd()))
	}
	return id, err
}

// IsZero reports whether the identity names no process.
func (id Identity) IsZero() bool { return id == Identity{} }

// Open returns a pidfd of exactly the named process. The error is ErrGone if the
// process was reaped, its pid went to another one, or the machine was rebooted.
func (id Identity) Open() (*os.File, error) {
	fd, err := id.open()
	if err != nil {
		return nil, err
	}
	return newPidfd(fd, id.Pid), nil
}

func (id Identity) open() (fd int, err error) {
	boot, err := BootID()
	if err != nil {
		return -1, err
	}
	if id.Pid <= 0 || boot != id.BootID {
		return -1, fmt.Errorf("process %d of boot %q: %w", id.Pid, id.BootID, ErrGone)
	}
	if fd, err = openPid(id.Pid); err != nil {
		return -1, err
	}
	if err := id.match(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// match compares inodes. An inode that was noted in this boot means that the
// kernel has pidfs.
func (id Identity) match(pidfd int) error {
	var now Identity
	var err error
	if id.PidfdInode != 0 {
		now.PidfdInode, err = inodeOf(pidfd)
	} else {
		now.StartTime, err = startTime(id.Pid, pidfd)
	}
	if err != nil {
		return err
	}
	if now.PidfdInode != id.PidfdInode || now.StartTime != id.StartTime {
		return fmt.Errorf("process %d is another one now: %w", id.Pid, ErrGone)
	}
	return nil
}

// Alive reports whether the named process is running. A zombie has ended.
func (id Identity) Alive() (bool, error) {
	pidfd, err := id.open()
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(pidfd)
	ended, err := ended(pidfd)
	return !ended, err
}

// pidfdInode returns 0 where pidfds have no inodes of their own.
func pidfdInode(pidfd *os.File) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(pidfd.Fd()), &fs); err != nil {
		return 0, fmt.Errorf("fstatfs(pidfd): %w", err)
	}
	if fs.Type != pidfsMagic {
		return 0, nil
	}
	return inodeOf(int(pidfd.Fd()))
}

func inodeOf(pidfd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(pidfd, &st); err != nil {
		return 0, fmt.Errorf("fstat(pidfd): %w", err)
	}
	return st.Ino, nil
}

// startTime returns the start time of the process of pidfd. If the process is
// still not reaped afterwards, its pid cannot have gone to another one before the
// file was read.
func startTime(pid, pidfd int) (uint64, error) {
	st, err := ReadStat(pid)
	if err != nil {
		return 0, err
	}
	// EPERM means that the process is there, which is enough.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err == unix.ESRCH {
		return 0, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	return st.StartTime, nil
}
