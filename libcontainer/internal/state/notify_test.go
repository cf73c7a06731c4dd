package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNotify(t *testing.T) {
	// The path is longer than that of a socket may be.
	s := Store{Root: filepath.Join(t.TempDir(), strings.Repeat("x", 100))}
	d, err := s.Create("c")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.MakeNotify(); err != nil {
		t.Fatal(err)
	}
	if got := filepath.Join(d.Path(), "notify"); got != s.NotifyDir("c") {
		t.Errorf("NotifyDir = %s; want %s", s.NotifyDir("c"), got)
	}
	for range 2 { // the second time, as after a killed start, there is a socket
		f, err := d.ListenNotify()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fi, err := os.Lstat(filepath.Join(s.NotifyDir("c"), "notify.sock"))
		if err != nil || fi.Mode() != os.ModeSocket|0o777 {
			t.Errorf("socket: %v, %v; want mode 0777", fi, err)
		}
		if _, err := unix.Read(int(f.Fd()), make([]byte, 1)); err != unix.EAGAIN {
			t.Errorf("reading without a message: %v; want EAGAIN", err)
		}
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.Path()); !os.IsNotExist(err) {
		t.Errorf("after Remove: %v", err)
	}
}
