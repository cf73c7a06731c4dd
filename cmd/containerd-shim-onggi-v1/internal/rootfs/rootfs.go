// Package rootfs mounts and unmounts the root file system of a container, from containerd's
// list of mounts.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// Mount creates target and mounts the list on it, in order. After an error it leaves nothing
// mounted.
func Mount(mounts []*wire.Mount, target string) error {
	if len(mounts) == 0 {
		return nil
	}
	if err := os.MkdirAll(target, 0o711); err != nil {
		return err
	}
	for i, m := range mounts {
		if err := mountOne(m, target); err != nil {
			err = fmt.Errorf("mount %d of the root file system (type %s, source %s): %w", i, m.Type, m.Source, err)
			return errors.Join(err, Unmount(target))
		}
	}
	return nil
}

// Unmount unmounts all mounts on target. A target without a mount is no error.
func Unmount(target string) error {
	for {
		err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
		if err == unix.EBUSY { // a process of another container uses it: detach it, and its last user ends it
			err = unix.Unmount(target, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		switch err {
		case nil, unix.EINTR:
		case unix.EINVAL, unix.ENOENT: // no mount
			return nil
		default:
			return fmt.Errorf("umount(%s): %w", target, err)
		}
	}
}

// flags maps options of mount(8) to flags of mount(2). clear means that the option removes
// the flag.
var flags = map[string]struct {
	flag  uintptr
	clear bool
}{
	"ro": {unix.MS_RDONLY, false}, "rw": {unix.MS_RDONLY, true},
	"nosuid": {unix.MS_NOSUID, false}, "suid": {unix.MS_NOSUID, true},
	"nodev": {unix.MS_NODEV, false}, "dev": {unix.MS_NODEV, true},
	"noexec": {unix.MS_NOEXEC, false}, "exec": {unix.MS_NOEXEC, true},
	"noatime": {unix.MS_NOATIME, false}, "atime": {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false}, "diratime": {unix.MS_NODIRATIME, true},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"strictatime": {unix.MS_STRICTATIME, false}, "nostrictatime": {unix.MS_STRICTATIME, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
	"dirsync": {unix.MS_DIRSYNC, false}, "defaults": {0, false},
	"bind": {unix.MS_BIND, false}, "rbind": {unix.MS_BIND | unix.MS_REC, false}, "remount": {unix.MS_REMOUNT, false},
}

// request has the arguments of one mount(2).
type request struct {
	fsType string
	source string
	flags  uintptr
	data   []string
	loop   bool
	uids   []syscall.SysProcIDMap // of id-mapped layers
	gids   []syscall.SysProcIDMap
}

func parse(m *wire.Mount) (r request, err error) {
	r = request{fsType: m.Type, source: m.Source}
	for _, o := range m.Options {
		if strings.IndexByte(o, 0) >= 0 {
			return r, fmt.Errorf("option %q has a NUL character", o)
		}
		f, known := flags[o]
		key, value, _ := strings.Cut(o, "=")
		switch {
		case known && f.clear:
			r.flags &^= f.flag
		case known:
			r.flags |= f.flag
		case o == "loop":
			r.loop = true
		case key == "uidmap":
			r.uids, err = parseMap(value)
		case key == "gidmap":
			r.gids, err = parseMap(value)
		case strings.HasPrefix(o, "X-containerd.") || strings.HasPrefix(o, "x-"):
		default:
			r.data = append(r.data, o)
		}
		if err != nil {
			return r, fmt.Errorf("option %s: %w", o, err)
		}
	}
	return r, nil
}

func mountOne(m *wire.Mount, target string) error {
	if m.Target != "" {
		var err error
		if target, err = below(target, m.Target); err != nil {
			return err
		}
	}
	r, err := parse(m)
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(r.fsType, "fuse.") || strings.HasPrefix(r.fsType, "fuse3."):
		return mountFUSE(m, target)
	case r.loop:
		file, err := attachLoop(r.source, r.flags&unix.MS_RDONLY != 0)
		if err != nil {
			return err
		}
		defer file.Close() // the mount keeps the device; LO_FLAGS_AUTOCLEAR frees it with the mount
		r.source = file.Name()
	}
	if r.mapped() {
		return r.mountMapped(target)
	}
	return r.mount(target)
}

// below returns the path of a directory below the root file system. It refuses a path through
// a symlink.
func below(target, name string) (string, error) {
	path := filepath.Join(target, name)
	for dir := path; dir != target; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			return "", fmt.Errorf("the target %q is not a directory of the root file system", name)
		}
	}
	return path, nil
}

// pageSize bounds the options of mount(2), including the final NUL.
var pageSize = os.Getpagesize()

func (r request) mount(target string) error {
	data := strings.Join(r.data, ",")
	if len(data) < pageSize {
		return r.call(target, data)
	}
	if r.fsType != "overlay" {
		return fmt.Errorf("options of %d bytes: mount(2) takes %d", len(data), pageSize-1)
	}
	dir, short := r.relative()
	if len(short) >= pageSize {
		return fmt.Errorf("the layers have options of %d bytes, and of %d relative to %q: mount(2) takes %d", len(data), len(short), dir, pageSize-1)
	}
	return inDirectory(dir, func() error { return r.call(target, short) })
}

func (r request) call(target, data string) error {
	if err := unix.Mount(r.source, target, r.fsType, r.flags, data); err != nil {
		return fmt.Errorf("mount(%q, %q, %q, %#x, %q): %w", r.source, target, r.fsType, r.flags, data, err)
	}
	return r.restrict(target)
}

// restrict gives a bind mount the flags of the request. It has those of its source until a
// second mount(2).
func (r request) restrict(target string) error {
	const bindFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if r.flags&unix.MS_BIND != 0 && r.flags&bindFlags != 0 {
		if err := unix.Mount("", target, "", r.flags|unix.MS_REMOUNT, ""); err != nil {
			return fmt.Errorf("mount(%q, MS_REMOUNT|MS_BIND, %#x): %w", target, r.flags, err)
		}
	}
	return nil
}

// relative returns the directory that contains all layers of an overlay, and the options
// with paths relative to it.
func (r request) relative() (dir, data string) {
	var lower []string
	for _, o := range r.data {
		if v, ok := strings.CutPrefix(o, "lowerdir="); ok {
			lower = strings.Split(v, ":")
		}
	}
	if len(lower) == 0 {
		return "/", strings.Join(r.data, ",")
	}
	dir = filepath.Dir(lower[0])
	for _, l := range lower {
		for dir != "/" && !strings.HasPrefix(l, dir+"/") {
			dir = filepath.Dir(dir)
		}
	}
	for i := range lower {
		lower[i] = strings.TrimPrefix(strings.TrimPrefix(lower[i], dir), "/")
	}
	out := make([]string, 0, len(r.data))
	for _, o := range r.data {
		if strings.HasPrefix(o, "lowerdir=") {
			o = "lowerdir=" + strings.Join(lower, ":")
		}
		out = append(out, o)
	}
	return dir, strings.Join(out, ",")
}

// inDirectory calls f on a thread with the working directory dir.
func inDirectory(dir string, f func() error) error {
	return onThread(unix.CLONE_FS, func() error {
		if err := unix.Chdir(dir); err != nil {
			return fmt.Errorf("chdir(%s): %w", dir, err)
		}
		return f()
	})
}

// onThread calls f on a thread that has left what flags say (unshare(2)). The thread ends
// afterwards. Go never ends the main thread, which would keep a mount namespace.
func onThread(flags int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Go ends a locked thread with its goroutine
		if unix.Gettid() == unix.Getpid() {
			result <- onThread(flags, f)
			runtime.UnlockOSThread()
			return
		}
		if err := unix.Unshare(flags); err != nil {
			result <- os.NewSyscallError("unshare", err)
			return
		}
		result <- f()
	}()
	return <-result
}

// mountFUSE runs the mount program of a FUSE file system: mount.fuse3 or mount.fuse.
func mountFUSE(m *wire.Mount, target string) error {
	program, err := exec.LookPath("mount.fuse3")
	if err != nil {
		if program, err = exec.LookPath("mount.fuse"); err != nil {
			return fmt.Errorf("type %s: %w", m.Type, err)
		}
	}
	_, name, _ := strings.Cut(m.Type, ".")
	args := []string{m.Source, target, "-t", name}
	if len(m.Options) > 0 {
		args = append(args, "-o", strings.Join(m.Options, ","))
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(string(out)))
	}
	return nil
}
