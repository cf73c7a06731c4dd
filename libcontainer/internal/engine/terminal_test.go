package engine

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// TestTerminalWhoseMountpointIsMissing: /dev/console turns out to be missing after
// a pseudo-terminal has arrived. The walk closes that one, so the new terminal is
// the first of its devpts.
func TestTerminalWhoseMountpointIsMissing(t *testing.T) {
	in := newInside(t)
	if err := os.MkdirAll(filepath.Join(in.rootfs, "dev/pts"), 0o755); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	in.job.Stdio = [3]*os.File{null, null, null}
	number := -1
	in.job.Console = func(master *os.File) (err error) {
		defer master.Close()
		number, err = unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		return err
	}
	before := openFiles()
	err = in.take(newMountNamespace(), []plan.Step{
		plan.Mount{Type: "devpts", Source: "devpts", At: plan.Place{Path: "/dev/pts"}, Keep: true},
		plan.Session{},
		plan.Terminal{Console: plan.Place{Path: "/dev/console"}},
	}, nil)
	if err != nil || number != 0 {
		t.Errorf("the terminal is /dev/pts/%d, %v; want /dev/pts/0", number, err)
	}
	in.stub.Kill()
	if n := openFiles(); n != before {
		t.Errorf("%d descriptors before, %d after", before, n)
	}
}
