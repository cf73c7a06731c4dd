package libcontainer

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
)

// checkMounts compares the restored mounts with the dump and with the configuration. It
// first adds the flags that a mount lacks: CRIU sets those of the images, and omits some
// of them for a mount of the same source as another one.
func (r *restoration) checkMounts(ctx context.Context, pid int) error {
	restored, err := mountsOf(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	if lacking := lackingFlags(r.staged, restored); len(lacking) > 0 {
		if err := addFlags(ctx, int(r.pidfd.Fd()), lacking); err != nil {
			return err
		}
		if restored, err = mountsOf(strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return compareMounts(r.facts, r.staged, restored)
}

// restrictions are the mount options that restrict a process, as attributes of
// mount_setattr(2).
var restrictions = map[string]uint64{
	"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID, "nodev": unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC, "nosymfollow": unix.MOUNT_ATTR_NOSYMFOLLOW,
}

// mountFlags are attributes for the topmost mount at a path.
type mountFlags struct {
	point string
	attrs uint64
}

// lackingFlags returns the restrictions of the staged mounts that the restored ones lack.
func lackingFlags(staged, restored []criu.Mount) (lacking []mountFlags) {
	for _, pair := range pairs(staged, restored) {
		if attrs := attributesOf(pair.staged.Options) &^ attributesOf(pair.restored.Options); attrs != 0 {
			lacking = append(lacking, mountFlags{pair.staged.Point, attrs})
		}
	}
	return lacking
}

func attributesOf(options string) (attrs uint64) {
	for o := range strings.SplitSeq(options, ",") {
		attrs |= restrictions[o]
	}
	return attrs
}

// addFlags adds attributes to mounts of a process that does not run yet. process is its
// pidfd. A thread of its own enters the mount namespace and ends there. It may hang in a
// file system of the container (FUSE), so ctx bounds the wait, and the thread has a
// descriptor of its own.
func addFlags(ctx context.Context, process int, all []mountFlags) error {
	own, err := unix.FcntlInt(uintptr(process), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("fcntl(F_DUPFD_CLOEXEC): %w", err)
	}
	done := make(chan error, 1)
	go func() {
		defer unix.Close(own)
		runtime.LockOSThread() // Go ends a locked thread with its goroutine
		done <- addFlagsHere(own, all)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("set the flags of the restored mounts: %w", ctx.Err())
	}
}

func addFlagsHere(process int, all []mountFlags) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2) refuses a mount namespace otherwise
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(process, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mount namespace: setns: %w", err)
	}
	for _, f := range all {
		if err := f.add(); err != nil {
			return fmt.Errorf("the mount on %s lacks %s: %w", f.point, f.names(), err)
		}
	}
	return nil
}

// add follows no link: the path is a mountpoint of the kernel's list.
func (f mountFlags) add() error {
	fd, err := unix.Openat2(unix.AT_FDCWD, f.point, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return fmt.Errorf("openat2: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: f.attrs}); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}

func (f mountFlags) names() string {
	var names []string
	for _, name := range forbidding {
		if f.attrs&restrictions[name] != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
