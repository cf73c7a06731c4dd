package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheRootOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give directories away")
	}
	for _, tt := range []struct {
		name string
		mode uint32
		user int
		want string
	}{
		{"ours", 0o755, 0, "nil"},
		{"as XDG directories are", 0o1777, 0, "nil"},
		{"of a group", 0o775, 0, "mode 0775: others may write to it"},
		{"of all", 0o777, 0, "mode 0777: others may write to it"},
		{"of another user", 0o700, 65534, "belongs to user 65534"},
		{"of another user, sticky", 0o1777, 65534, "belongs to user 65534"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Store{Root: t.TempDir()}
			if err := create(t, s, "c").Save(t.Context(), record("c")); err != nil {
				t.Fatal(err)
			}
			os.Chown(s.Root, tt.user, tt.user)
			unix.Chmod(s.Root, tt.mode)
			_, made := s.Create("d")
			_, opened := s.Open("c")
			_, listed := s.List()
			for verb, err := range map[string]error{"Create": made, "Open": opened, "Each": s.Each(func(*Dir, *Record) {}), "List": listed} {
				if got := fmt.Sprint(err); !strings.Contains(got, tt.want) || tt.want != "nil" && !strings.Contains(got, s.Root) {
					t.Errorf("%s = %v; want %q", verb, err, tt.want)
				}
			}
		})
	}
}

// precious makes a directory that Remove must not touch. check fails if Remove has touched it.
func precious(t *testing.T) (dir string, check func()) {
	dir = t.TempDir()
	file := filepath.Join(dir, "sub", "file")
	os.Mkdir(filepath.Dir(file), 0o700)
	os.WriteFile(file, nil, 0o600)
	return dir, func() {
		t.Helper()
		if _, err := os.Stat(file); err != nil {
			t.Errorf("a foreign file is gone: %v", err)
		}
	}
}

// stuff fills a container's directory with other files, which Remove has to sweep.
func stuff(t *testing.T, d *Dir, foreign string) {
	t.Helper()
	for i := range 20 {
		dir := filepath.Join(d.path, "deep", string(rune('a'+i)))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		os.Symlink(foreign, filepath.Join(dir, "link"))
	}
	os.Symlink(foreign, d.file("link"))
}

func TestRemoveSparesWhatIsInItsPlace(t *testing.T) {
	for name, replace := range map[string]func(path, foreign string){
		"link":      func(path, foreign string) { os.Symlink(foreign, path) },
		"directory": func(path, foreign string) { os.Rename(foreign, path) },
	} {
		t.Run(name, func(t *testing.T) {
			s := Store{Root: t.TempDir()}
			d := create(t, s, "c")
			foreign, _ := precious(t)
			stuff(t, d, foreign)
			os.Rename(d.path, d.path+"-away")
			replace(d.path, foreign)
			if err := d.Remove(t.Context()); err == nil || !strings.Contains(err.Error(), "has been replaced") {
				t.Errorf("Remove = %v; want that it has been replaced", err)
			}
			if _, err := os.Stat(filepath.Join(d.path, "sub", "file")); err != nil {
				t.Errorf("a foreign file is gone: %v", err)
			}
		})
	}
}

// During Remove, another process replaces the directory by a link, and back again.
func TestRemoveWhileLinksComeAndGo(t *testing.T) {
	foreign, check := precious(t)
	s := Store{Root: t.TempDir()}
	link := s.path("@link")
	if err := os.Symlink(foreign, link); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, s.path("c"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 150 {
		d, err := s.Create("c")
		if err != nil {
			os.Remove(s.path("c")) // a link, if Remove has removed the directory under its other name
			os.RemoveAll(link)
			os.Symlink(foreign, link)
			continue
		}
		os.MkdirAll(d.file("sub/deep"), 0o700)
		_ = d.Remove(t.Context()) // an error is possible: there may be a link in its place
		d.Close()
	}
	close(stop)
	<-stopped
	check()
}

func TestRemoveEntersNoMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	d := create(t, Store{Root: t.TempDir()}, "c")
	foreign, check := precious(t)
	at := d.file("mounted")
	os.Mkdir(at, 0o700)
	if err := unix.Mount(foreign, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	err := d.Remove(t.Context())
	check()
	if err == nil || !strings.Contains(err.Error(), "a file system is mounted on "+at) {
		t.Errorf("Remove = %v; want that it is mounted", err)
	}
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Errorf("Remove after the unmount = %v", err)
	}
}
