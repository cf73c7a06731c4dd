package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// needsCRIU adds CRIU to the container's PATH. It skips the test if CRIU does not work on this host.
func needsCRIU(t testing.TB, c *container) {
	t.Helper()
	peersLack(t, "is compared in a table of its own")
	dir, err := filepath.Abs("../bin/peers")
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(dir, "/tmp/") {
		t.Skip("this source tree, with CRIU, is in /tmp, which a restore covers")
	}
	path := os.Getenv("PATH") + ":" + dir
	if why := whyNoCRIU(); why != "" {
		t.Skip(why)
	}
	c.env = append(c.env, "PATH="+path)
}

// whyNoCRIU returns the reason why CRIU does not work on this host, or "".
var whyNoCRIU = sync.OnceValue(func() string {
	cmd := exec.Command("sh", "-c", "PATH=$PATH:$(realpath ../bin/peers); exec criu check")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("there is no CRIU that works here: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return ""
})

// counter is a shell script that counts in a variable and writes the count to a file in a volume.
const counter = `i=0; while true; do i=$((i+1)); echo $i >/data/n; sleep 0.02; done`

// counting returns a container with a counter that has reached 3.
func counting(t testing.TB, edits ...edit) *container {
	t.Helper()
	c := newContainer(t, sh(counter))
	needsCRIU(t, c)
	if err := os.Mkdir(filepath.Join(c.bundle, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.edit(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: filepath.Join(c.bundle, "data"), Options: []string{"rbind"}})
	})
	c.edit(edits...)
	c.up()
	eventually(t, "it counts", func() bool { return c.count() >= 3 })
	return c
}

func (c *container) count() int {
	data, _ := os.ReadFile(filepath.Join(c.bundle, "data", "n"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// countsOn checks that the counter continues from its value.
func (c *container) countsOn(from int) {
	c.t.Helper()
	eventually(c.t, "it counts on", func() bool { return c.count() > from })
}

func (c *container) images() string { return filepath.Join(c.bundle, "images") }

func TestCheckpointLeaveRunning(t *testing.T) {
	c := counting(t)
	n := c.count()
	c.must("checkpoint", "--image-path", c.images(), "--work-path", filepath.Join(c.bundle, "work"), "--leave-running", c.id)
	want(t, "status", c.status(), "running")
	c.countsOn(n)
	st, err := os.Stat(c.images())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "mode of the images", st.Mode().Perm().String(), "-rwx------")
	for _, name := range []string{"images/inventory.img", "images/descriptors.json", "images/onggi.json", "work/dump.log", "work/stats-dump"} {
		if _, err := os.Stat(filepath.Join(c.bundle, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(c.root, c.id, "checkpoint")); !os.IsNotExist(err) {
		t.Errorf("the intent is left: %v", err)
	}
	c.must("pause", c.id)
	n = c.count()
	c.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
	want(t, "status after a checkpoint of a paused container", c.status(), "paused")
	c.must("resume", c.id)
	c.countsOn(n)
}

// containerd's shim names its work directory by a link of its own.
func TestCheckpointWorkLink(t *testing.T) {
	c := counting(t)
	if err := os.Mkdir(filepath.Join(c.bundle, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(c.bundle, "work")); err != nil {
		t.Fatal(err)
	}
	c.must("checkpoint", "--image-path", c.images(), "--work-path", filepath.Join(c.bundle, "work"), c.id)
	c.must(c.restoreArgs("--detach", "--work-path", filepath.Join(c.bundle, "work"))...)
	for _, name := range []string{"dump.log", "restore.log"} {
		if _, err := os.Stat(filepath.Join(c.bundle, "real", name)); err != nil {
			t.Error(err)
		}
	}
}

// Each mistake leads to one line of error, and the container continues as before.
func TestCheckpointRefuses(t *testing.T) {
	c := counting(t)
	for _, dir := range []string{"real", "open"} {
		if err := os.Mkdir(filepath.Join(c.bundle, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(c.bundle, "open"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(c.bundle, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(c.bundle, "foreign")); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(filepath.Join(c.bundle, "foreign"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ flags, want string }{
		{"--image-path link", "is a link or a file"},
		{"--image-path config.json", "is a link or a file"},
		{"--image-path open", "can be changed by other users"},
		{"--image-path none/of/these", "no such file or directory"},
		{"--image-path images --work-path foreign", "is a link or a file"},
		{"--image-path images --parent-path /abs", "--parent-path must be relative"},
		{"--image-path images --parent-path ../none", "invalid --parent-path"},
		{"--image-path images --page-server 1.2.3.4", "use ADDRESS:PORT"},
		{"--image-path images --empty-ns pid", "is not supported for --empty-ns"},
		{"--image-path images --manage-cgroups-mode all", "want one of soft, full, strict, ignore"},
	} {
		r := c.verb(append(append([]string{"checkpoint"}, strings.Fields(tt.flags)...), c.id)...)
		first, rest, _ := strings.Cut(r.err, "\n")
		if r.code != 1 || !strings.Contains(first, tt.want) || rest != "" && !strings.HasPrefix(rest, "usage") {
			t.Errorf("%s; want %q", r, tt.want)
		}
	}
	path := c.env
	c.env = append(c.env, "PATH=/nonexistent")
	if r := c.verb("checkpoint", "--image-path", c.images(), c.id); r.code != 1 || !strings.Contains(r.err, "criu is not in $PATH") {
		t.Errorf("without CRIU: %s", r)
	}
	c.env = path
	want(t, "status", c.status(), "running")
	c.countsOn(c.count())
}

func TestCheckpointNotRunning(t *testing.T) {
	c := newContainer(t, args("sleep", "1000"))
	needsCRIU(t, c)
	c.create()
	for _, status := range []string{"created", "stopped"} {
		r := c.verb("checkpoint", "--image-path", c.images(), c.id)
		if text := "Container cannot be checkpointed in " + status + " state"; r.code != 1 || !strings.Contains(r.err, text) {
			t.Errorf("%s; want %q", r, text)
		}
		if status == "created" {
			c.must("kill", c.id, "KILL")
			c.stopped()
		}
	}
}

// A full disk is named as the cause, and the container runs on.
func TestCheckpointFullDisk(t *testing.T) {
	onOneLayout(t)
	c := counting(t)
	if err := os.Mkdir(c.images(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", c.images(), "tmpfs", 0, "size=128k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	r := c.verb("checkpoint", "--image-path", c.images(), "--work-path", filepath.Join(c.bundle, "work"), c.id)
	if err := unix.Unmount(c.images(), 0); err != nil {
		t.Error(err)
	}
	refused(t, r, 1, "no space left on device")
	want(t, "status", c.status(), "running")
	c.countsOn(c.count())
}

// A checkpoint ends the container, so one that cannot be restored is refused before anything happens.
func TestCheckpointUnrestorable(t *testing.T) {
	peersLack(t, "dumps it")
	c := newContainer(t, args("sleep", "1000"), func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UTSNamespace })
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UTSNamespace, Path: "/proc/self/ns/uts"}, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Hostname = ""
		ids := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	})
	c.up()
	const text = "a container with a user namespace and a joined uts namespace cannot be restored"
	refused(t, c.verb("checkpoint", "--image-path", c.images(), c.id), 1, text)
	if _, err := os.Stat(c.images()); !os.IsNotExist(err) {
		t.Errorf("the image directory: %v; want none", err)
	}
	if r := c.verb("checkpoint", "--check", c.id); r.code != 1 || !strings.Contains(strings.Join(strings.Fields(r.out), " "), "--leave-running "+text) {
		t.Errorf("%s; want the obstacle and the flag", r)
	}
	if r := c.verb("checkpoint", "--check", "--leave-running", c.id); strings.Contains(r.out, text) {
		t.Errorf("%s; want no such obstacle", r)
	}
	want(t, "status", c.status(), "running")
}

// The error names the process, the descriptor, the missing flag and the log.
func TestCheckpointCause(t *testing.T) {
	c := newContainer(t, sh("dd if=/dev/zero of=/tmp/f bs=1M count=2 2>/dev/null; exec 3</tmp/f; rm /tmp/f; touch /tmp/ready; exec sleep 1000"))
	needsCRIU(t, c)
	pid := c.up()
	eventually(t, "the file is removed", func() bool { _, err := os.Stat(filepath.Join(c.rootfs, "tmp/ready")); return err == nil })
	r := c.verb("checkpoint", "--image-path", c.images(), c.id)
	for _, text := range []string{"process " + strconv.Itoa(pid) + " (sleep): descriptor 3: ", "--ghost-limit is needed", "log: " + c.images() + "/dump.log"} {
		if r.code != 1 || !strings.Contains(r.err, text) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s; want %q on one line", r, text)
		}
	}
	want(t, "status", c.status(), "running")
	c.must("checkpoint", "--image-path", c.images(), "--ghost-limit", "4194304", c.id)
}

// The test kills the runtime or CRIU during a dump, at any moment. The next verb must leave the container running.
func TestCheckpointKilled(t *testing.T) {
	onOneLayout(t)
	c := counting(t)
	tries := kills(t)
	began := time.Now()
	c.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
	whole := time.Since(began)
	for i := range tries {
		inv := c.begin("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
		time.Sleep(whole * time.Duration(i/2*2+1) / time.Duration(tries+1))
		victim := inv.Process.Pid
		if i%2 == 1 {
			victim = childNamed(victim, "criu")
		}
		if victim > 0 {
			_ = syscall.Kill(victim, syscall.SIGKILL)
		}
		if r := inv.end(); r.code == 0 {
			t.Logf("try %d: the checkpoint was faster", i)
		}
		eventually(t, "it runs", func() bool { return c.status() == "running" })
		c.countsOn(c.count())
	}
	c.must("checkpoint", "--image-path", c.images(), c.id)
}

// kills returns the number of kills for each victim: 2, 10 with LONG=1, or KILLS.
func kills(t *testing.T) int {
	t.Helper()
	switch n := os.Getenv("KILLS"); {
	case n != "":
		return atoi(t, n)
	case os.Getenv("LONG") != "":
		return 10
	}
	return 2
}

// onOneLayout runs a long test on one cgroup layout only.
func onOneLayout(t *testing.T) {
	t.Helper()
	if env.layout == "v2" && os.Getenv("LONG") == "" {
		t.Skip("is run on the machine's cgroup layout (LONG=1 runs it on both)")
	}
}

// childNamed returns a child of a process, or 0.
func childNamed(parent int, name string) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range dirs {
		data, _ := os.ReadFile(stat)
		f := strings.Fields(string(data))
		if len(f) > 4 && f[1] == "("+name+")" && f[3] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(f[0])
			return pid
		}
	}
	return 0
}

// Every flag is parsed and reaches CRIU. A dump with all flags that do not concern memory of others succeeds.
func TestCheckpointFlags(t *testing.T) {
	c := counting(t)
	c.must("checkpoint", "--image-path", c.images(), "--tcp-established", "--tcp-skip-in-flight", "--ext-unix-sk", "--shell-job", "--file-locks", "--link-remap",
		"--ghost-limit", "4096", "--empty-ns", "network", "--manage-cgroups-mode", "ignore", "--network-lock", "skip", "--auto-dedup=false", "--lazy-pages=false", "--pre-dump=false", "--status-fd", "2", c.id)
	c.must(c.restoreArgs("--detach", "--no-pivot", "-no-subreaper", "--no-new-keyring", "--tcp-established", "--tcp-close=false", "--ext-unix-sk", "--shell-job", "--file-locks",
		"--empty-ns", "network", "--manage-cgroups-mode", "ignore", "--network-lock", "skip")...)
	want(t, "status", c.status(), "running")
	for _, flag := range []string{"--lsm-profile", "--lsm-mount-context"} {
		if r := c.verb("restore", flag); r.code != 1 || !strings.Contains(r.err, "flag needs an argument") {
			t.Errorf("%s; want what Podman looks for", r)
		}
	}
}
