package criu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// fakeEnv makes the test program act as a CRIU that follows a script.
const fakeEnv = "ONGGI_FAKE_CRIU"

func TestMain(m *testing.M) {
	if script := os.Getenv(fakeEnv); script != "" && len(os.Args) > 2 && os.Args[1] == "swrk" {
		fake(strings.Fields(script))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fake reads the request from descriptor 3 and executes the steps of a script.
func fake(script []string) {
	buf := make([]byte, 1<<16)
	read := func() *rpc.CriuReq {
		n, _ := unix.Read(socketNumber, buf)
		req := new(rpc.CriuReq)
		_ = req.UnmarshalVT(buf[:max(n, 0)])
		return req
	}
	send := func(resp *rpc.CriuResp, oob []byte) {
		data, _ := resp.MarshalVT()
		_ = unix.Sendmsg(socketNumber, data, oob, nil, unix.MSG_NOSIGNAL)
	}
	req := read()
	kind, yes, no := req.GetType(), true, false
	for _, step := range script {
		name, rest, _ := strings.Cut(step, ":")
		switch name {
		case "notify":
			notify, pid := rpc.CriuReqType_NOTIFY, int32(7)
			var oob []byte
			if rest == "orphan-pts-master" {
				oob = unix.UnixRights(0)
			}
			send(&rpc.CriuResp{Type: &notify, Success: &yes, Notify: &rpc.CriuNotify{Script: &rest, Pid: &pid}}, oob)
			if !read().GetNotifySuccess() {
				send(&rpc.CriuResp{Type: &kind, Success: &no}, nil)
				return
			}
		case "success":
			send(&rpc.CriuResp{Type: &kind, Success: &yes}, nil)
		case "failure":
			errno := int32(28)
			send(&rpc.CriuResp{Type: &kind, Success: &no, CrErrno: &errno}, nil)
		case "other":
			kind := rpc.CriuReqType_VERSION
			send(&rpc.CriuResp{Type: &kind, Success: &yes}, nil)
		case "garbage":
			_, _ = unix.Write(socketNumber, []byte("\xff\xff\xff\xff\xff"))
		case "long":
			_, _ = unix.Write(socketNumber, make([]byte, maxMessage+1))
		case "empty":
			_, _ = unix.Write(socketNumber, nil)
		case "two":
			_ = unix.Sendmsg(socketNumber, []byte("x"), unix.UnixRights(0, 1), nil, 0)
		case "hang":
			_, _ = unix.Poll(nil, -1)
		}
	}
}

// do starts the fake, sends a request, and returns the names of the notifications.
func do(ctx context.Context, t *testing.T, script string, answer func(Notify) error) (names []string, err error) {
	t.Helper()
	t.Setenv(fakeEnv, script)
	conn, peer, err := Socket()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Patience = time.Minute
	if strings.Contains(script, "hang") {
		conn.Patience = 2 * time.Second // enough for a process start on a busy machine
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Spawn(self, peer, log)
	peer.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	kind := rpc.CriuReqType_DUMP
	_, err = conn.Do(ctx, p, &rpc.CriuReq{Type: &kind, Opts: &rpc.CriuOpts{ImagesDirFd: new(int32)}}, func(n Notify) error {
		names = append(names, n.Name)
		if n.File != nil {
			names = append(names, "with a file")
			n.File.Close()
		}
		return answer(n)
	})
	return names, err
}

// TestFakeCRIU checks that a CRIU that sends wrong messages, dies or falls silent leads to an error in time.
func TestFakeCRIU(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	no := errors.New("no")
	for _, tt := range []struct {
		script, names, want string
		refuse              string // name of the notification for which notify returns an error
	}{
		{"success", "", "", ""},
		{"notify:pre-dump notify:post-dump success", "pre-dump post-dump", "", ""},
		{"notify:pre-dump notify:post-dump success", "pre-dump", "no", "pre-dump"},
		{"notify:pre-dump notify:post-dump success", "pre-dump post-dump", "no", "post-dump"},
		{"notify:orphan-pts-master success", "orphan-pts-master with a file", "", ""},
		{"notify:unheard-of success", "unheard-of", "", ""},
		{"failure", "", "criu failed: no space left on device", ""},
		{"other", "", "criu answered 10 to request 1", ""},
		{"notify:pre-dump", "pre-dump", "criu ended without an answer", ""},
		{"nothing", "", "criu ended without an answer", ""},
		{"empty", "", "criu ended without an answer", ""},
		{"garbage", "", "criu sent a broken message", ""},
		{"long", "", "criu sent a message that is too long", ""},
		{"two", "", "criu sent a message that is too long", ""},
		{"notify:", "", "criu sent an unexpected notification", ""},
		{"hang", "", "criu has made no progress for 2s", ""},
		{"notify:post-dump hang", "post-dump", "criu has made no progress", ""},
	} {
		t.Run(tt.script+" "+tt.refuse, func(t *testing.T) {
			names, err := do(context.Background(), t, tt.script, func(n Notify) error {
				if n.Name == tt.refuse {
					return no
				}
				return nil
			})
			if got := strings.Join(names, " "); got != tt.names {
				t.Errorf("notifications = %q; want %q", got, tt.names)
			}
			if got := errorOf(err); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("error = %q; want %q", got, tt.want)
			}
		})
	}
}

func errorOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestInterrupted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	_, err := do(ctx, t, "notify:pre-dump hang", func(Notify) error { cancel(enough); return nil })
	if !errors.Is(err, enough) {
		t.Errorf("error = %v; want %v", err, enough)
	}
}

// TestCause uses lines in the form of CRIU 4.2.1. The line about a ghost file comes from a different log.
func TestCause(t *testing.T) {
	const noise = "(00.002) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
	for name, tt := range map[string]struct{ log, want string }{
		"nothing":    {noise + "(00.5) Error (criu/cr-dump.c:2128): Dumping FAILED.\n", ""},
		"unknown":    {noise + "(00.1) Error (criu/x.c:1): first thing\n(00.2) Error (criu/y.c:2): second thing\n", "first thing"},
		"control":    {"(00.1) Error (criu/x.c:1): a\x1b[2Jb\n", "a?[2Jb"},
		"no text":    {"(00.1) Error (criu/x.c:1)\n", ""},
		"preference": {"(00.1) Error (criu/x.c:1): Can't dump\n(00.2) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.\n", "an established TCP connection: --tcp-established is needed (criu: inet: Connected TCP socket, consider using --tcp-established option.)"},
		"place": {
			"(00.01) Dumping task (pid: 7 comm: nginx)\n(00.02) Dumping opened files (pid: 7)\n(00.03) 7 fdinfo 12: pos: 0\n(00.04) Error (criu/files-ext.c:96): Can't dump file 12 of that type [600] (anon anon_inode:[io_uring])\n",
			"process 7 (nginx): descriptor 12: io_uring cannot be dumped (criu: Can't dump file 12 of that type [600] (anon anon_inode:[io_uring]))",
		},
		"place of a process": {"(00.01) Dumping task (pid: 7 comm: a b)\n(00.04) Error (criu/x.c:96): no\n", "process 7 (a b): no"},
	} {
		if got := cause(tt.log); got != tt.want {
			t.Errorf("%s: cause = %q; want %q", name, got, tt.want)
		}
	}
}

func FuzzCause(f *testing.F) {
	f.Add("(00.01) Dumping task (pid: 7 comm: x)\n(0) 7 fdinfo 1: \n(0) Error (a): b\n")
	f.Fuzz(func(t *testing.T, log string) {
		if got := cause(log); strings.ContainsAny(got, "\n\x1b") {
			t.Errorf("cause(%q) = %q has control characters", log, got)
		}
	})
}

const (
	hostMounts = `24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
25 24 0:22 / /dev/shm rw shared:2 - tmpfs tmpfs rw
`
	containerMounts = `100 90 8:1 /b/rootfs / rw,relatime - ext4 /dev/root rw
101 100 0:50 / /proc rw,nosuid - proc proc rw
102 100 0:51 / /dev rw,nosuid - tmpfs tmpfs rw
103 102 0:22 / /dev/shm rw - tmpfs tmpfs rw
104 100 8:1 /vol\040ume /data rw master:1 - ext4 /dev/root rw
105 100 8:1 /b/rootfs/etc /mnt rw - ext4 /dev/root rw
106 101 0:60 /null /proc/kcore rw - tmpfs tmpfs rw
107 101 0:50 /sys /proc/sys ro - proc proc rw
108 100 0:30 /x /sys/fs/cgroup ro - cgroup2 cgroup rw
109 102 0:52 / /dev/mqueue rw - mqueue mqueue rw
110 100 8:1 /b/rootfs2 /near rw - ext4 /dev/root rw
`
)

func TestExternals(t *testing.T) {
	container, err := ParseMounts(containerMounts)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ParseMounts(hostMounts)
	if err != nil {
		t.Fatal(err)
	}
	root, out, err := Externals(container, host)
	if err != nil || root.ID != 100 {
		t.Fatalf("Externals = root %d, %v; want 100", root.ID, err)
	}
	var got []string
	for _, m := range out {
		got = append(got, m.Point)
	}
	want := []string{"/dev/shm", "/data", "/proc/kcore", "/sys/fs/cgroup", "/near"}
	if !slices.Equal(got, want) {
		t.Errorf("Externals = %q; want %q", got, want)
	}
	if m := container[4]; m.Root != "/vol ume" || m.Peers != "master:1" {
		t.Errorf("mount 104 = %+v", m)
	}
}

func TestExternalsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no root": "101 100 0:50 / /proc rw - proc proc rw\n",
		"bracket": "100 90 8:1 /b / rw - ext4 x rw\n101 100 0:99 / /a] rw - ext4 y rw\n",
	} {
		mounts, err := ParseMounts(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Externals(mounts, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, text := range []string{"x\n", "1 2 3 - a b c\n", "a 1 8:1 / / rw - ext4 x rw\n"} {
		if _, err := ParseMounts(text); err == nil {
			t.Errorf("ParseMounts(%q) = no error", text)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "criu"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "criu"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(other + ":" + dir); got != filepath.Join(dir, "criu") || err != nil {
		t.Errorf("Find = %q, %v", got, err)
	}
	t.Chdir(dir)
	for _, path := range []string{"", ".", other, dir + "/x"} {
		if got, err := Find(path); !errors.Is(err, ErrNone) {
			t.Errorf("Find(%q) = %q, %v; want ErrNone", path, got, err)
		}
	}
}
