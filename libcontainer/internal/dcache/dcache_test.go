package dcache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "there"), 0o755), os.Symlink("there", link)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path    string
		flags   int
		resolve uint64
		want    error
	}{
		{filepath.Join(dir, "there"), unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS, nil},
		{link, unix.O_DIRECTORY, 0, nil},
		{link, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS, unix.ELOOP},
		{link, unix.O_NOFOLLOW, 0, nil},
	} {
		f, err := Open(tt.path, tt.flags, tt.resolve)
		if !errors.Is(err, tt.want) {
			t.Errorf("Open(%s, %#x, %#x) = %v; want %v", tt.path, tt.flags, tt.resolve, err, tt.want)
		}
		f.Close()
	}
	// The kernel has never looked this name up, so only the file system knows whether it exists.
	if f, err := Open(filepath.Join("/proc/self/task", "no"), 0, 0); err == nil {
		t.Errorf("Open found %s", f.Name())
	}
}
