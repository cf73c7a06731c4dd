package tests

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// onggi honours the annotations of crun that are safe.

func TestKeepOriginalGroups(t *testing.T) {
	peerFails(t, "runc", "crun's annotation")
	groups := args("grep", "Groups", "/proc/self/status")
	c := newContainer(t, groups, func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{5} })
	c.wrapper = []string{"setpriv", "--groups", "7,8"}
	want(t, "groups", strings.TrimSpace(c.output()), "Groups:\t5")
	c.edit(annotation("run.oci.keep_original_groups", "0"))
	want(t, "groups with 0", strings.TrimSpace(c.output()), "Groups:\t5")
	c.edit(annotation("run.oci.keep_original_groups", "1"))
	want(t, "groups with 1", strings.TrimSpace(c.output()), "Groups:\t7 8")

	c.edit(args("sleep", "1000"))
	c.up()
	want(t, "groups of exec", strings.TrimSpace(c.execOutput(nil, list2args(groups)...)), "Groups:\t7 8")
}

func TestHookOutputGoesToFiles(t *testing.T) {
	peerFails(t, "runc", "crun's annotation")
	c := newContainer(t, sh("sleep 1000"))
	out, errs := filepath.Join(c.bundle, "out"), filepath.Join(c.bundle, "errs")
	c.edit(annotation("run.oci.hooks.stdout", out), annotation("run.oci.hooks.stderr", errs))
	for _, kind := range hookKinds {
		c.edit(hooks(kind, hook("echo "+kind+"; echo "+kind+" fails >&2")))
	}
	c.up()
	c.must("delete", "--force", c.id)
	for path, suffix := range map[string]string{out: "", errs: " fails"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want(t, filepath.Base(path), string(data), strings.Join(hookKinds, suffix+"\n")+suffix+"\n")
	}
}

func TestSeccompFailUnknownSyscall(t *testing.T) {
	peerFails(t, "runc", "crun's annotation")
	c := newContainer(t, args("echo", "fine"), func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"frobnicate"}, Action: specs.ActErrno}},
		}
	})
	want(t, "output", c.output(), "fine")
	c.edit(annotation("run.oci.seccomp_fail_unknown_syscall", "1"))
	c.runFails().has(t, "/linux/seccomp/syscalls", "libseccomp does not know frobnicate")
}

// accept receives a message and one descriptor from the next connection.
func accept(t *testing.T, l *net.UnixListener) (string, *os.File) {
	t.Helper()
	l.SetDeadline(time.Now().Add(patience))
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	payload, files := receive(t, conn)
	if len(files) != 1 {
		t.Fatalf("%d descriptors came with %q; want 1", len(files), payload)
	}
	t.Cleanup(func() { files[0].Close() })
	return payload, files[0]
}

func listen(t *testing.T) (*net.UnixListener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

func TestPidfdIsSent(t *testing.T) {
	peersLack(t, "one of the two ways only")
	byAnnotation, first := listen(t)
	byFlag, second := listen(t)
	c := newContainer(t, args("sleep", "1000"), annotation("run.oci.pidfd_receiver", first))
	c.create("--pidfd-socket", second)
	for _, l := range []*net.UnixListener{byAnnotation, byFlag} {
		payload, pidfd := accept(t, l)
		want(t, "payload", payload, "standard")
		if err := unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err != nil {
			t.Errorf("signal by the pidfd: %v", err)
		}
	}
	c.start()
	execSocket, third := listen(t)
	c.must("exec", "--pidfd-socket", third, c.id, "true")
	payload, _ := accept(t, execSocket)
	want(t, "payload of exec", payload, "setns")
}
