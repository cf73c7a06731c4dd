package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dumpFile is the intent of a checkpoint. The runtime holds a lock on it, and CRIU
// inherits the lock. An unlocked file means that both were killed. The container may
// then still be frozen.
const dumpFile = "checkpoint"

// ErrBeingDumped means that a checkpoint of the container is in progress.
var ErrBeingDumped = errors.New("a checkpoint of the container is in progress")

// Dump is the intent of one checkpoint. Paused records that the container was paused
// before the checkpoint. It then stays paused afterwards.
type Dump struct {
	File   *os.File // holds the lock; CRIU inherits it
	Paused bool
	dir    *Dir
}

const (
	wasPaused  = "paused\n"
	wasRunning = "running\n"
)

// BeginDump writes the intent of a checkpoint. The error is ErrBeingDumped while
// another checkpoint is in progress. BeginDump overwrites the intent of a killed
// checkpoint. A caller that finds the container frozen must read that intent first
// (LeftDump): only the intent tells whether the container was paused.
func (d *Dir) BeginDump(paused bool) (*Dump, error) {
	fd, err := openRetry(d.fd, dumpFile, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, d.fail("open", dumpFile, err)
	}
	f := os.NewFile(uintptr(fd), d.file(dumpFile))
	if err := lockDump(f); err != nil {
		f.Close()
		return nil, err
	}
	text := wasRunning
	if paused {
		text = wasPaused
	}
	if err = unix.Ftruncate(fd, 0); err == nil {
		_, err = f.WriteAt([]byte(text), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", d.file(dumpFile), err)
	}
	return &Dump{File: f, Paused: paused, dir: d}, nil
}

// LeftDump returns the intent of a killed checkpoint and locks it, or nil if there is
// none. The error is ErrBeingDumped while a checkpoint is in progress.
func (d *Dir) LeftDump() (*Dump, error) {
	fd, err := openRetry(d.fd, dumpFile, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, d.fail("open", dumpFile, err)
	}
	f := os.NewFile(uintptr(fd), d.file(dumpFile))
	var buf [len(wasRunning)]byte
	if err = lockDump(f); err == nil {
		_, err = f.ReadAt(buf[:], 0)
	}
	if errors.Is(err, ErrBeingDumped) {
		f.Close()
		return nil, err
	}
	// A truncated file is from before the freeze: the checkpoint writes it first.
	return &Dump{File: f, Paused: string(buf[:len(wasPaused)]) == wasPaused, dir: d}, nil
}

func lockDump(f *os.File) error {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrBeingDumped
		default:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// Note writes a line for readers of DumpNote after the intent. A failure has no
// consequence: the intent itself stays as it is.
func (i *Dump) Note(line []byte) {
	text := wasRunning
	if i.Paused {
		text = wasPaused
	}
	all := append(append([]byte(text), line...), '\n')
	if _, err := i.File.WriteAt(all, 0); err == nil {
		_ = i.File.Truncate(int64(len(all)))
	}
}

// maxNote bounds a line of Note, in bytes.
const maxNote = 4096

// DumpNote returns the last line of Note, or nil if there is none. The error for a
// container without a checkpoint in progress is os.ErrNotExist.
func (d *Dir) DumpNote() ([]byte, error) {
	fd, err := openRetry(d.fd, dumpFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err == unix.ENOENT {
		return nil, os.ErrNotExist
	}
	if err != nil {
		return nil, d.fail("open", dumpFile, err)
	}
	f := os.NewFile(uintptr(fd), d.file(dumpFile))
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	_, note, _ := bytes.Cut(text, []byte("\n"))
	note, _, whole := bytes.Cut(note, []byte("\n"))
	if err != nil || !whole {
		return nil, err
	}
	return note, nil
}

// WatchDump returns an inotify descriptor that becomes readable when the intent of a
// checkpoint changes.
func (d *Dir) WatchDump() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	const changes = unix.IN_MODIFY | unix.IN_DELETE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, "/proc/self/fd/"+strconv.Itoa(d.fd)+"/.", changes); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}

// End removes the intent. The container has its earlier state again, or has ended.
func (i *Dump) End() error {
	defer i.File.Close()
	return unlink(i.dir.fd, dumpFile, 0)
}
