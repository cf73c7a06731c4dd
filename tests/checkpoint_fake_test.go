package tests

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// fakeEnv has the script of a false CRIU: steps with spaces between them.
const fakeEnv = "ONGGI_TESTS_CRIU"

// fakeCRIU is this program, run by the runtime in place of CRIU. It answers requests on descriptor 3.
func fakeCRIU() {
	f := &falseCRIU{script: strings.Fields(os.Getenv(fakeEnv))}
	for f.serve() {
	}
}

type falseCRIU struct{ script []string }

// serve answers one request. It reports whether the connection continues.
func (f *falseCRIU) serve() bool {
	req := f.read()
	kind, yes := req.GetType(), true
	switch kind {
	case rpc.CriuReqType_VERSION:
		major, minor := int32(4), int32(2)
		if f.script[0] == "old" {
			major, minor = 3, 17
		}
		f.send(&rpc.CriuResp{Type: &kind, Success: &yes, Version: &rpc.CriuVersion{MajorNumber: &major, MinorNumber: &minor}}, nil)
		return true
	case rpc.CriuReqType_FEATURE_CHECK:
		track := f.script[0] != "untracked"
		f.send(&rpc.CriuResp{Type: &kind, Success: &yes, Features: &rpc.CriuFeatures{MemTrack: &track}}, nil)
		return true
	case rpc.CriuReqType_SINGLE_PRE_DUMP:
		f.preDump(req.GetOpts())
		f.send(&rpc.CriuResp{Type: &kind, Success: &yes}, nil)
	case rpc.CriuReqType_DUMP, rpc.CriuReqType_RESTORE:
		f.note(req.GetOpts())
		f.follow(kind)
	}
	return false
}

func (f *falseCRIU) read() *rpc.CriuReq {
	buf, req := make([]byte, 1<<16), new(rpc.CriuReq)
	n, _ := unix.Read(3, buf)
	_ = req.UnmarshalVT(buf[:max(n, 0)])
	return req
}

func (f *falseCRIU) send(resp *rpc.CriuResp, oob []byte) {
	data, _ := resp.MarshalVT()
	_ = unix.Sendmsg(3, data, oob, nil, unix.MSG_NOSIGNAL)
}

// file returns the path of a file in a directory that the runtime holds open.
func (f *falseCRIU) file(dir int32, name string) string {
	return fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getppid(), dir, name)
}

// note records the parent of a dump in the images.
func (f *falseCRIU) note(o *rpc.CriuOpts) {
	_ = os.WriteFile(f.file(o.GetImagesDirFd(), "parent-of"), []byte(o.GetParentImg()), 0o600)
}

// preDump writes the statistics of the script's next pre-dump. Its number follows from its parent.
func (f *falseCRIU) preDump(o *rpc.CriuOpts) {
	f.note(o)
	n := 0
	if before, ok := strings.CutPrefix(o.GetParentImg(), "../pre-"); ok {
		n, _ = strconv.Atoi(before)
	}
	text := f.script[min(n, len(f.script)-1)]
	pages, err := strconv.ParseUint(text, 10, 64)
	stats := statsDump(pages)
	if err != nil {
		stats = []byte(text)
	}
	_ = os.WriteFile(f.file(o.GetWorkDirFd(), "stats-dump"), stats, 0o600)
}

// statsDump returns CRIU's statistics of a dump that wrote some pages.
func statsDump(pages uint64) []byte {
	const written = 7 << 3 // key of DumpStatsEntry.pages_written
	dump := binary.AppendUvarint([]byte{1 << 3, 9, written}, pages)
	message := append([]byte{1<<3 | 2, byte(len(dump))}, dump...)
	out := binary.LittleEndian.AppendUint32(nil, 0x55105940)
	out = binary.LittleEndian.AppendUint32(out, 0x57093306)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(message))), message...)
}

// follow executes the steps of the script that are no numbers: "NAME=PID" is a notification. The pid "self" is that of
// this program.
func (f *falseCRIU) follow(kind rpc.CriuReqType) {
	yes, no := true, false
	for _, step := range f.script {
		name, pid, isNotification := strings.Cut(step, "=")
		switch {
		case isNotification:
			notify, n := rpc.CriuReqType_NOTIFY, int32(os.Getpid())
			if pid != "self" {
				i, _ := strconv.Atoi(pid)
				n = int32(i)
			}
			f.send(&rpc.CriuResp{Type: &notify, Success: &yes, Notify: &rpc.CriuNotify{Script: &name, Pid: &n}}, nil)
			if !f.read().GetNotifySuccess() {
				f.send(&rpc.CriuResp{Type: &kind, Success: &no}, nil)
				return
			}
		case step == "die":
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		case step == "garbage":
			_, _ = unix.Write(3, []byte("\xff\xff\xff\xff"))
			return
		case step == "slow":
			time.Sleep(2500 * time.Millisecond) // more than two reports of progress
		case step == "hang":
			_, _ = unix.Poll(nil, -1)
		case step == "fail":
			f.send(&rpc.CriuResp{Type: &kind, Success: &no}, nil)
			return
		}
	}
	f.send(&rpc.CriuResp{Type: &kind, Success: &yes}, nil)
}

// falseCRIUDir returns a directory with a copy of this program, named criu. It is not in /tmp, which a restore covers.
func falseCRIUDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "onggi-tests-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "criu"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// withFalseCRIU returns a copy of the container. Its PATH begins with a directory of falseCRIUDir.
func (c *container) withFalseCRIU(t *testing.T, dir, script string) *container {
	other := c.in(t)
	other.env = append(slices.Clone(c.env), "PATH="+dir+":"+os.Getenv("PATH"), fakeEnv+"="+script)
	return other
}

// The pre-dumps end at the goal, or when they no longer shrink. Each one is the parent of the next.
func TestCheckpointPreDumpUntil(t *testing.T) {
	onOneLayout(t)
	peersLack(t, "has no --pre-dump-until")
	c := newContainer(t, args("sleep", "1000"))
	c.up()
	dir := falseCRIUDir(t)
	for _, tt := range []struct {
		name, pages, goal string
		flags             []string
		rounds            int
		first             string // parent of the first
	}{
		{name: "size", pages: "1000 600 300 100 50", goal: "1m", rounds: 4}, // 256 pages
		{name: "at once", pages: "100", goal: "1m", rounds: 1},
		{name: "ratio", pages: "1000 600 300 100 50", goal: "30%", rounds: 3},
		{name: "no longer shrinking", pages: "1000 500 490 10", goal: "4k", rounds: 3},
		{name: "growing", pages: "10 20 1", goal: "4k", rounds: 2},
		{name: "after a parent", pages: "1", goal: "1m", flags: []string{"--parent-path", "../data"}, rounds: 1, first: "../../data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := c.withFalseCRIU(t, dir, tt.pages)
			c.write("data/x", "")
			c.write("images/pre-9/old", "")
			if err := os.Chmod(c.images(), 0o700); err != nil {
				t.Fatal(err)
			}
			_ = os.Symlink("data", filepath.Join(c.images(), "parent"))
			c.must(append([]string{"checkpoint", "--image-path", c.images(), "--leave-running", "--pre-dump-until", tt.goal}, append(tt.flags, c.id)...)...)
			parents, wanted := []string{}, []string{}
			for i := range tt.rounds {
				parents = append(parents, textOf(t, filepath.Join(c.images(), fmt.Sprintf("pre-%d/parent-of", i+1))))
				wanted = append(wanted, fmt.Sprintf("../pre-%d", i))
			}
			wanted[0] = tt.first
			want(t, "parents", strings.Join(parents, " "), strings.Join(wanted, " "))
			want(t, "parent of the dump", textOf(t, filepath.Join(c.images(), "parent-of")), fmt.Sprintf("pre-%d", tt.rounds))
			for _, left := range []string{fmt.Sprintf("pre-%d", tt.rounds+1), "pre-9", "parent"} {
				if _, err := os.Lstat(filepath.Join(c.images(), left)); !os.IsNotExist(err) {
					t.Errorf("%s: %v; want no such file", left, err)
				}
			}
			want(t, "status", c.status(), "running")
		})
	}
	for _, tt := range []struct{ name, pages, flags, want string }{
		{"untracked", "untracked", "--pre-dump-until 1m", "it has no CONFIG_MEM_SOFT_DIRTY"},
		{"bad statistics", "x", "--pre-dump-until 1m", "stats-dump: it is not a stats-dump of criu"},
		{"no goal", "1", "--pre-dump-until 0", "a container that runs always changes memory"},
		{"no ratio", "1", "--pre-dump-until 100%", "is not a ratio between 0% and 100%"},
		{"no size", "1", "--pre-dump-until many", "invalid size"},
		{"pre-dump", "1", "--pre-dump-until 1m --pre-dump", "--pre-dump-until and --pre-dump exclude each other"},
		{"lazy pages", "1", "--pre-dump-until 1m --lazy-pages", "--pre-dump-until and --lazy-pages exclude each other"},
		{"page server", "1", "--pre-dump-until 1m --page-server 127.0.0.1:99", "--pre-dump-until and --page-server exclude each other"},
		{"its own directory", "1", "--pre-dump-until 1m --parent-path pre-1", "--pre-dump-until replaces pre-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := c.withFalseCRIU(t, dir, tt.pages)
			c.write("images/pre-1/x", "")
			r := c.verb(append(append([]string{"checkpoint", "--image-path", c.images()}, strings.Fields(tt.flags)...), c.id)...)
			if first, _, _ := strings.Cut(r.err, "\n"); r.code != 1 || !strings.Contains(first, tt.want) {
				t.Errorf("%s; want %q", r, tt.want)
			}
			want(t, "status", c.status(), "running")
		})
	}
}

// A CRIU that lies or dies at any notification leads to one line of error. A dump leaves the container running, and a
// restore leaves nothing.
func TestCheckpointFalseCRIU(t *testing.T) {
	onOneLayout(t)
	peersLack(t, "trusts CRIU")
	c := newContainer(t, args("sleep", "1000"))
	c.up()
	dir := falseCRIUDir(t)
	for _, script := range []string{"old", "die", "fail", "garbage", "pre-dump=0 die", "network-lock=0 die", "post-dump=0 die", "post-dump=0 fail", "post-dump=0 garbage"} {
		t.Run("dump "+script, func(t *testing.T) {
			c := c.withFalseCRIU(t, dir, script)
			r := c.verb("checkpoint", "--image-path", c.images(), c.id)
			if r.code != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "log: "+c.images()+"/dump.log") {
				t.Errorf("%s; want one line with the log", r)
			}
			want(t, "status", c.status(), "running")
		})
	}
	c.must("delete", "--force", c.id)
	c.write("images/inventory.img", "")
	c.write("images/pstree.img", "")
	for _, tt := range []struct{ script, want string }{
		{"old", "criu 3.17 is too old: checkpoint and restore need CRIU 4.2 or later"},
		{"die", "criu ended without an answer"},
		{"fail", "criu failed"},
		{"garbage", "broken message"},
		{"success", "criu claims success without a container"},
		{"setup-namespaces=0 success", "criu named process 0 as the first one"},
		{"setup-namespaces=-1 success", "criu named process -1 as the first one"},
		{"setup-namespaces=1 success", "which is not our child"},
		{"post-restore=1 success", "which is not our child"},
		{"setup-namespaces=999999999 success", "no such process"},
		{"orphan-pts-master=0 success", "criu sent no terminal"},
		{"setup-namespaces=self success", "which is its own"},
		{"post-restore=self success", "which is its own"},
		{"pre-resume=0 die", "criu ended without an answer"},
		{"post-resume=0 success", "criu claims success without a container"},
	} {
		t.Run("restore "+tt.script, func(t *testing.T) {
			c := c.withFalseCRIU(t, dir, tt.script)
			before := takeStock()
			r := c.verb(c.restoreArgs("--detach")...)
			if r.code != 1 || !strings.Contains(r.err, tt.want) || strings.Count(r.err, "level=error") != 1 {
				t.Errorf("%s; want %q on one line", r, tt.want)
			}
			if r := c.verb("state", c.id); r.code != 1 || !strings.Contains(r.err, "does not exist") {
				t.Errorf("after a failed restore: %s", r)
			}
			before.compare(t, c)
		})
	}
}

// A dump warns about processes of exec, which CRIU leaves out, unless --skip-exec says that this is intended.
func TestCheckpointOfExec(t *testing.T) {
	onOneLayout(t)
	peersLack(t, "does not mention them")
	c := newContainer(t, args("sleep", "1000"))
	c.up()
	c.execDetached(nil, "sleep", "999")
	fake := c.withFalseCRIU(t, falseCRIUDir(t), "success")
	if r := fake.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id); !strings.Contains(r.err, "(sleep) was started by exec") {
		t.Errorf("%s; want a warning", r)
	}
	if r := fake.must("checkpoint", "--image-path", c.images(), "--leave-running", "--skip-exec", c.id); r.err != "" {
		t.Errorf("%s; want no warning", r)
	}
}

// A checkpoint that takes more than a second prints its progress on a terminal. `events` reports it to other programs.
func TestCheckpointProgress(t *testing.T) {
	onOneLayout(t)
	peersLack(t, "reports no progress")
	c := newContainer(t, args("sleep", "1000"))
	c.up()
	dir := falseCRIUDir(t)
	events := c.begin("events", "--interval", "1h", c.id)
	eventually(t, "events watches", func() bool { return hasInotify(events.Process.Pid) })
	slow := c.withFalseCRIU(t, dir, "slow")
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slow.wrapper = []string{"sh", "-c", fmt.Sprintf(`exec "$@" 2>/dev/pts/%d`, n), "sh"}
	slow.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
	if got := readUntil(t, master, "after 2 s"); !strings.Contains(got, "checkpoint: dump: 0B of memory written after 1 s") {
		t.Errorf("the terminal has %q; want the progress", got)
	}
	c.must("kill", c.id, "KILL")
	events.end()
	var phases []string
	for line := range strings.Lines(contents(events.out)) {
		if _, rest, ok := strings.Cut(line, `"phase":"`); ok && strings.Contains(line, `"type":"checkpoint"`) {
			phase, _, _ := strings.Cut(rest, `"`)
			phases = append(phases, phase)
		}
	}
	if got := strings.Join(phases, " "); got != "dump dump dump end" {
		t.Errorf("phases = %q; want three reports and the end", got)
	}
}

func hasInotify(pid int) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return slices.ContainsFunc(fds, func(fd string) bool { link, _ := os.Readlink(fd); return strings.Contains(link, "inotify") })
}
