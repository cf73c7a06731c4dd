package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serviceManager listens on a socket and passes its path to the runtime.
func serviceManager(t *testing.T, c *container) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c.env = append(c.env, "NOTIFY_SOCKET="+path)
	return conn
}

// told checks the messages to the manager and closes the barrier, so that the sender can continue.
func told(t *testing.T, conn *net.UnixConn, pid int) {
	t.Helper()
	msg, files := receive(t, conn)
	want(t, "message", msg, fmt.Sprintf("MAINPID=%d\nREADY=1", pid))
	if len(files) != 0 {
		t.Errorf("%d descriptors came along", len(files))
	}
	msg, files = receive(t, conn)
	if msg != "BARRIER=1" || len(files) != 1 {
		t.Fatalf("message = %q with %d descriptors; want the barrier", msg, len(files))
	}
	files[0].Close()
}

// pidOf waits until the container runs and returns its pid.
func pidOf(t *testing.T, c *container) int {
	t.Helper()
	eventually(t, "it runs", func() bool { r := c.verb("state", c.id); return r.code == 0 && strings.Contains(r.out, `"running"`) })
	return c.state().Pid
}

// silent checks that the manager gets no message.
func silent(t *testing.T, conn *net.UnixConn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the manager is told %q, %v", buf[:n], err)
	}
}

const sayReady = `probe notify STATUS=starting X=1 "STATUS=up
READY=1"; exec sleep 1000`

func TestNotifyStart(t *testing.T) {
	peersLack(t, "tells the manager in two messages")
	c := newContainer(t, sh("until test -e /tmp/go; do sleep 0.01; done; "+sayReady))
	conn := serviceManager(t, c)
	c.create()
	pid := c.state().Pid
	i := c.begin("start", c.id)
	eventually(t, "running", func() bool { return c.status() == "running" })
	silent(t, conn) // start waits
	c.write("rootfs/tmp/go", "")
	told(t, conn, pid)
	if r := i.end(); r.code != 0 {
		t.Error(r)
	}
	silent(t, conn) // exec does not notify the manager
	want(t, "exec's environment", c.execOutput(nil, "sh", "-c", "echo $NOTIFY_SOCKET"), "")
}

func TestNotifyRunDetached(t *testing.T) {
	peersLack(t, "tells the manager in two messages")
	c := newContainer(t, sh(sayReady), userNamespace(100000))
	if err := os.Chown(filepath.Join(c.rootfs, "run"), 100000, 100000); err != nil { // the user has to create the mountpoint
		t.Fatal(err)
	}
	conn := serviceManager(t, c)
	i := c.begin(c.withFlags("run", "--detach")...)
	told(t, conn, pidOf(t, c))
	if r := i.end(); r.code != 0 {
		t.Error(r)
	}
}

func TestNotifyRunForeground(t *testing.T) {
	peersLack(t, "tells the manager in two messages")
	c := newContainer(t, sh("probe notify READY=1; echo done"))
	conn := serviceManager(t, c)
	i := c.begin(c.withFlags("run")...)
	told(t, conn, i.Process.Pid)
	if r := i.end(); r.code != 0 || r.out != "done\n" {
		t.Error(r)
	}
}

func TestNotifyOfAContainerThatNeverIsReady(t *testing.T) {
	peersLack(t, "looks for the process every 100 ms")
	c := newContainer(t, sh("probe notify STATUS=failing; exit 3"))
	conn := serviceManager(t, c)
	if r := c.run(); r.code != 3 {
		t.Error(r)
	}
	silent(t, conn)
	c.create()
	c.start()
	silent(t, conn)
}

func TestNotifySocketIsAllThatIsSeen(t *testing.T) {
	peersLack(t, "other environment")
	c := newContainer(t, sh(`echo $NOTIFY_SOCKET; ls -A /run/notify; rm /run/notify/notify.sock 2>&1; touch /run/notify/x 2>&1
		probe notify READY=1; stat -c %a /run/notify /run/notify/notify.sock`))
	conn := serviceManager(t, c)
	i := c.begin(c.withFlags("run")...)
	told(t, conn, i.Process.Pid)
	r := i.end()
	want(t, "output", r.out, `/run/notify/notify.sock
notify.sock
rm: can't remove '/run/notify/notify.sock': Read-only file system
touch: /run/notify/x: Read-only file system
755
777
`)
	c.env = nil
	c.edit(sh(`echo "$NOTIFY_SOCKET"; grep -c notify /proc/self/mountinfo`))
	if r := c.run(); strings.TrimSpace(r.out) != "0" {
		t.Errorf("without a manager\n%v", r)
	}
}

func TestNotifyWithoutAManager(t *testing.T) {
	peersLack(t, "fails")
	c := newContainer(t, sh("probe notify READY=1; echo done"))
	c.env = append(c.env, "NOTIFY_SOCKET=/no/such/socket")
	r := c.run()
	if r.code != 0 || r.out != "done\n" || !strings.Contains(r.err, "pass READY=1 on to /no/such/socket") {
		t.Error(r)
	}
}
