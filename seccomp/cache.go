package seccomp

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper"
)

// A Cache keeps compiled filters in a directory that only its owner can enter.
// Processes may share it without locks: rename(2) makes an entry appear whole.
type Cache struct {
	Dir string // created when needed; "" disables the cache
}

// maxEntries bounds a cache. A host has a handful of profiles.
const maxEntries = 64

// formatVersion is part of each key. It changes when this package begins to
// compile the same profile to another program.
const formatVersion = "2"

// Load returns the filter of a profile. raw is the JSON value of linux.seccomp.
// Load calls decode for the profile itself only if the filter has to be
// compiled. It returns errors of decode and [Compile], never of the cache.
func (c Cache) Load(ctx context.Context, raw []byte, decode func() (*specs.LinuxSeccomp, error)) (Filter, error) {
	k, ok := keyOf(raw)
	if !ok || c.Dir == "" {
		return compile(ctx, decode)
	}
	if f, ok := c.read(k); ok {
		return f, nil
	}
	f, err := compile(ctx, decode)
	if err == nil {
		c.write(k, f)
	}
	return f, err
}

func compile(ctx context.Context, decode func() (*specs.LinuxSeccomp, error)) (Filter, error) {
	profile, err := decode()
	if err != nil {
		return Filter{}, err
	}
	return Compile(ctx, profile)
}

// keyOf returns everything that a filter depends on: formatVersion, the build of
// the helper, the kernel's release (which decides about flags and actions), the
// machine, and the profile. Without a helper's identity there is no key.
func keyOf(raw []byte) (k key, ok bool) {
	var host unix.Utsname
	identity := helper.Identity()
	if err := unix.Uname(&host); err != nil || identity == "" {
		return k, false
	}
	release := unix.ByteSliceToString(host.Release[:])
	return key(strings.Join([]string{formatVersion, identity, release, runtime.GOARCH, string(raw)}, "\x00")), true
}

// read returns an entry if this user owns its file alone and it is complete.
func (c Cache) read(k key) (Filter, bool) {
	dir, err := openDir(c.Dir)
	if err != nil {
		return Filter{}, false
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, k.name(), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Filter{}, false
	}
	defer unix.Close(fd)
	b, err := readOwn(fd)
	if err != nil {
		return Filter{}, false
	}
	return unmarshal(k, b)
}

var errForeign = errors.New("another user can change it")

// openDir opens the directory of a cache if only this user can use it.
func openDir(path string) (int, error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if _, err := statOwn(dir, unix.S_IFDIR); err != nil {
		unix.Close(dir)
		return -1, err
	}
	return dir, nil
}

// statOwn returns the size of an open file. It is an error if the file has
// another type, another owner, or a mode that gives others any access.
func statOwn(fd int, format uint32) (size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != format || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return 0, errForeign
	}
	return st.Size, nil
}

func readOwn(fd int) ([]byte, error) {
	size, err := statOwn(fd, unix.S_IFREG)
	if err != nil {
		return nil, err
	}
	if size > maxEntry {
		return nil, unix.EFBIG
	}
	b := make([]byte, size)
	for n := 0; n < len(b); {
		m, err := unix.Pread(fd, b[n:], int64(n))
		if err != nil && err != unix.EINTR {
			return nil, err
		}
		if err == nil && m == 0 {
			return b[:n], nil // the file has shrunk: its sum will be wrong
		}
		n += max(m, 0)
	}
	return b, nil
}

// write adds an entry if it can. A full or read-only file system is no error.
func (c Cache) write(k key, f Filter) {
	b := f.marshal(k)
	if b == nil {
		return
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return
	}
	dir, err := openDir(c.Dir)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	if writeEntry(dir, k.name(), b) == nil {
		trim(dir)
	}
}

func writeEntry(dir int, name string, b []byte) error {
	temporary, err := randomName()
	if err != nil {
		return err
	}
	fd, err := unix.Openat(dir, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = writeAll(fd, b)
	unix.Close(fd)
	if err == nil {
		err = unix.Renameat(dir, temporary, dir, name)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temporary, 0)
	}
	return err
}

func randomName() (string, error) {
	var b [16]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", err
	}
	return "." + hex.EncodeToString(b[:]), nil
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// trim removes the oldest files beyond maxEntries. In time it also removes the
// temporary files of killed writers.
func trim(dir int) {
	names := list(dir)
	if len(names) <= maxEntries {
		return
	}
	type file struct {
		name  string
		mtime unix.Timespec
	}
	var files []file
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			files = append(files, file{name, st.Mtim})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return int(min(1, max(-1, a.mtime.Nano()-b.mtime.Nano()))) })
	for _, f := range files[:max(0, len(files)-maxEntries)] {
		_ = unix.Unlinkat(dir, f.name, 0)
	}
}

// list returns the names in a directory. It opens the directory again, because
// reading moves the offset of a descriptor.
func list(dir int) []string {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "seccomp cache")
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return names
}
