package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestLockedHint(t *testing.T) {
	const all = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC
	tests := []struct {
		flags int64
		attrs plan.Attrs
		want  string
	}{
		{all, plan.Attrs{Clear: unix.MOUNT_ATTR_RDONLY}, "ro of the host's mount is locked"},
		{all, plan.Attrs{Clear: unix.MOUNT_ATTR_RDONLY, RecClear: unix.MOUNT_ATTR_NOEXEC}, "ro, noexec of the host's mount"},
		{unix.ST_NODEV, plan.Attrs{Clear: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV}, "nodev of the host's mount"},
		{all, plan.Attrs{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: unix.MOUNT_ATTR__ATIME}, "the access time mode of the host's mount"},
		{all, plan.Attrs{Set: unix.MOUNT_ATTR_NODIRATIME}, "the access time mode of the host's mount"},
		{0, plan.Attrs{Clear: unix.MOUNT_ATTR_RDONLY}, ""},
		{all, plan.Attrs{Set: unix.MOUNT_ATTR_RDONLY}, ""},
	}
	for _, tt := range tests {
		if got := lockedHint(tt.flags, tt.attrs); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("lockedHint(%#x, %+v) = %q; want %q", tt.flags, tt.attrs, got, tt.want)
		}
	}
}

func TestCopiedByUserns(t *testing.T) {
	user, mount := plan.Unshare{Flags: unix.CLONE_NEWUSER}, plan.Unshare{Flags: unix.CLONE_NEWNS | unix.CLONE_NEWIPC}
	tests := []struct {
		name  string
		steps []plan.Step
		want  bool
	}{
		{"both new", []plan.Step{user, mount}, true},
		{"user namespace joined", []plan.Step{plan.Join{Flag: unix.CLONE_NEWUSER}, mount}, true},
		{"no user namespace", []plan.Step{mount}, false},
		{"mount namespace joined", []plan.Step{plan.Join{Flag: unix.CLONE_NEWNS}, user}, false},
	}
	for _, tt := range tests {
		p := &progress{}
		for _, s := range tt.steps {
			p.items = append(p.items, plan.Item{Step: s})
		}
		if got := p.copiedByUserns(); got != tt.want {
			t.Errorf("%s: copiedByUserns = %t; want %t", tt.name, got, tt.want)
		}
	}
}

func TestMustLock(t *testing.T) {
	private := plan.Attrs{Propagation: unix.MS_PRIVATE}
	tests := []struct {
		name string
		step plan.Step
		on   unix.Statfs_t
		want bool
	}{
		{"plain", plan.Bind{Attrs: private}, unix.Statfs_t{}, false},
		{"restricted", plan.Bind{Attrs: private}, unix.Statfs_t{Flags: unix.ST_NOSUID}, true},
		{"recursive", plan.Bind{Attrs: private, Recursive: true}, unix.Statfs_t{}, true},
		{"shared", plan.Bind{Attrs: plan.Attrs{Propagation: unix.MS_SHARED}}, unix.Statfs_t{}, true},
		{"a peer of its source", plan.Bind{}, unix.Statfs_t{}, true},
		{"device", plan.Device{}, unix.Statfs_t{Flags: unix.ST_NOSUID}, false},
	}
	for _, tt := range tests {
		if got := mustLock(tt.step, tt.on); got != tt.want {
			t.Errorf("%s: mustLock = %t; want %t", tt.name, got, tt.want)
		}
	}
}

func TestRelocate(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	os.Symlink(file, filepath.Join(dir, "link"))
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	open := func(name string) *tree {
		fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		tr := &tree{fd: fd, name: name, elsewhere: true}
		t.Cleanup(func() { unix.Close(tr.fd) })
		return tr
	}

	// The kernel may answer EAGAIN to any lookup in its cache. Then the opener asks the file system, as for a slow source.
	find := func(tr *tree) (int, error) {
		f, err := tr.find(root)
		if err != unix.EAGAIN {
			return f, err
		}
		src := &newWalk(t.Context(), &plan.Plan{Items: make([]plan.Item, 1)}, &Job{Timeout: 10 * time.Second, Name: "test"}).sources
		src.byItem[0] = tr
		defer src.slow.opener.abandon()
		found := map[int]int{}
		err = src.slow.findSlowly(root, []int{0}, found)
		return found[0], err
	}

	for _, name := range []string{file, filepath.Join(dir, "link"), dir} {
		tr := open(name)
		f, err := find(tr)
		if err != nil {
			t.Fatalf("find(%s): %v", name, err)
		}
		if tr.relocate(f); !tr.origin {
			t.Errorf("relocate(%s): no origin", name)
		}
	}

	magic := open("/proc/self/ns/uts")
	f, err := find(magic) // procfs has to be asked
	if magic.relocate(f); err != nil || magic.origin || magic.elsewhere {
		t.Errorf("find of a magic link = %v, %v, %+v; want the tree as it was", f, err, magic)
	}

	replaced := open(file)
	os.Remove(file)
	if err := os.WriteFile(file+"2", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	os.Rename(file+"2", file)
	f, err = find(replaced)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(f)
	if err := replaced.sameAs(f); err == nil || !strings.Contains(err.Error(), "has been replaced") {
		t.Errorf("sameAs of a file that was replaced: %v", err)
	}
}
