// Package subprocess runs the helper. It writes the executable to a sealed
// memfd, gives it a request and reads the reply.
//
// All three streams of the helper are memory files, so neither side waits for the
// other to read. The only wait is for the helper's end, and it has a deadline.
package subprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// deadline bounds one answer. It is some hundred times the time of a large profile.
const deadline = 10 * time.Second

// Run gives a request to the helper, an executable, and returns its reply. The
// first number in the reply is its length.
func Run(ctx context.Context, image string, request []byte) ([]byte, error) {
	return runWithin(ctx, deadline, image, request)
}

func runWithin(ctx context.Context, d time.Duration, image string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("no answer within %v: %w", d, context.DeadlineExceeded))
	defer cancel()
	reply, err := run(ctx, image, request)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("helper: %w", err)
	}
	return reply, nil
}

func run(ctx context.Context, image string, request []byte) ([]byte, error) {
	executable, err := unpack(image)
	if err != nil {
		return nil, err
	}
	defer executable.Close()
	streams, err := open(request)
	if err != nil {
		return nil, err
	}
	defer streams.close()
	if err := start(ctx, executable, streams); err != nil {
		return nil, err
	}
	return readReply(streams.reply)
}

// readReply reads the reply. Its first four bytes are its length.
func readReply(r io.ReaderAt) ([]byte, error) {
	var size [4]byte
	if _, err := r.ReadAt(size[:], 0); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	n := binary.NativeEndian.Uint32(size[:])
	if n > wire.MaxReply {
		return nil, fmt.Errorf("reply: %d bytes", n)
	}
	reply := make([]byte, n)
	if _, err := r.ReadAt(reply, 0); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return reply, nil
}

// unpack makes an executable file that no process can change any more: a sealed
// memfd. Where the kernel forbids the execution of memfds (vm.memfd_noexec=2), it
// is a file on a read-only tmpfs that is mounted nowhere.
func unpack(image string) (*os.File, error) {
	f, err := memfdImage(image)
	if errors.Is(err, unix.EACCES) {
		f, err = tmpfsImage(image)
	}
	if err != nil {
		return nil, fmt.Errorf("its executable: %w", err)
	}
	return f, nil
}

func memfdImage(image string) (*os.File, error) {
	f, err := memfd(unix.MFD_ALLOW_SEALING | unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3 has no MFD_EXEC, and every memfd is executable
		f, err = memfd(unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteString(image); err == nil {
		err = seal(f, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// tmpfsImage needs the right to mount. Root has it, and an ordinary user has it in
// a user namespace of its own.
func tmpfsImage(image string) (*os.File, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("vm.memfd_noexec forbids to execute a memfd, and the helper cannot have a tmpfs of its own: fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	defer unix.Close(mount)
	if err := writeAt(mount, image); err != nil {
		return nil, fmt.Errorf("tmpfs: %w", err)
	}
	if err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return nil, os.NewSyscallError("mount_setattr", err)
	}
	fd, err := unix.Openat(mount, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	return os.NewFile(uintptr(fd), "tmpfs:"+name), nil
}

func writeAt(dir int, image string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o500)
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteString(image)
	return errors.Join(err, f.Close())
}

const name = "onggi-helper"

func memfd(flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "memfd:"+name), nil
}

// streams are the helper's standard input, output and error. They have their full
// size from the start, filled with zeros, and the helper cannot enlarge them.
type streams struct {
	request, reply, complaint *os.File
}

const maxComplaint = 64 << 10

func open(request []byte) (s streams, err error) {
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.request, err = fixed(int64(len(request))); err != nil {
		return s, err
	}
	if _, err := s.request.WriteAt(request, 0); err != nil {
		return s, fmt.Errorf("request: %w", err)
	}
	if s.reply, err = fixed(wire.MaxReply); err != nil {
		return s, err
	}
	s.complaint, err = fixed(maxComplaint)
	return s, err
}

// fixed makes a memory file of a fixed size.
func fixed(size int64) (*os.File, error) {
	f, err := memfd(unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3, as above
		f, err = memfd(unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(size); err == nil {
		err = seal(f, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func seal(f *os.File, seals int) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("fcntl F_ADD_SEALS: %w", err)
	}
	return nil
}

func (s streams) close() {
	s.request.Close()
	s.reply.Close()
	s.complaint.Close()
}

// start starts the helper and waits for its end. The helper's descriptor 3 is its
// own executable, so its path does not depend on descriptor numbers on this side.
func start(ctx context.Context, executable *os.File, s streams) error {
	p, err := os.StartProcess("/proc/self/fd/3", []string{name}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"GOMAXPROCS=1"}, // it has one thing to do; a second processor costs a thread and 30 page faults of 240
		Files: []*os.File{s.request, s.reply, s.complaint, executable},
	})
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }() // a failed Wait does not release it
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer stop()
	state, err := p.Wait()
	switch {
	case errors.Is(err, unix.ECHILD) && ctx.Err() == nil:
		// This program collects all its children elsewhere, or ignores SIGCHLD
		// (wait(2)). There is no status then, so only the reply shows the result.
		if why := s.why(); why != "" {
			return errors.New("it failed" + why)
		}
		return nil
	case err != nil:
		return err
	}
	if !state.Success() {
		return fmt.Errorf("%v%s", state, s.why())
	}
	return nil
}

// why returns the first line that the helper wrote to its standard error.
func (s streams) why() string {
	const enough = 256
	b := make([]byte, enough)
	n, _ := s.complaint.ReadAt(b, 0)
	line, _, _ := bytes.Cut(bytes.TrimRight(b[:n], "\x00"), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	return ": " + string(line)
}
