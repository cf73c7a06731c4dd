package tests

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A restored container gets a new terminal of the host. The program's standard streams must be on it.
func TestRestoreTerminal(t *testing.T) {
	path, next := consoleSocket(t)
	c := newContainer(t, terminal, sh("echo ready; while read x; do echo got $x; done"))
	needsCRIU(t, c)
	c.create("--console-socket", path)
	master, _ := next()
	c.start()
	readUntil(t, master, "ready\r\n")
	for i := range 2 {
		c.must("checkpoint", "--image-path", c.images(), c.id)
		c.must(c.restoreArgs("--detach", "--console-socket", path)...)
		master, _ = next()
		word := "word" + strconv.Itoa(i)
		fmt.Fprint(master, word+"\n")
		if out := readUntil(t, master, "got "+word+"\r\n"); !strings.Contains(out, "got "+word) {
			t.Errorf("the terminal says %q; want %q", out, "got "+word)
		}
		if out := c.execOutput(nil, "sh", "-c", "readlink /proc/1/fd/0"); out != "/dev/pts/0" && out != "/dev/console" {
			t.Errorf("standard input = %q", out)
		}
	}
}

// CRIU needs a directory tmp in a read-only root file system. The restore makes it, and removes it again.
func TestRestoreReadonlyRoot(t *testing.T) {
	onOneLayout(t)
	c := newContainer(t, args("sleep", "1000"), func(s *specs.Spec) { s.Root.Readonly = true })
	needsCRIU(t, c)
	if err := os.RemoveAll(filepath.Join(c.rootfs, "tmp")); err != nil {
		t.Fatal(err)
	}
	c.up()
	c.must("checkpoint", "--image-path", c.images(), c.id)
	c.must(c.restoreArgs("--detach")...)
	want(t, "status", c.status(), "running")
	if out := c.execOutput(nil, "sh", "-c", "touch /x 2>&1; true"); !strings.Contains(out, "Read-only") {
		t.Errorf("touch /x: %q; want a read-only file system", out)
	}
	if _, err := os.Stat(filepath.Join(c.rootfs, "tmp")); !os.IsNotExist(err) {
		t.Errorf("the directory for CRIU is left: %v", err)
	}
}

// A SIGKILL during a restore can leave the directory in which CRIU puts the old root. delete --force removes it, and no
// other directory.
func TestRestoreKilledPivot(t *testing.T) {
	onOneLayout(t)
	peersLack(t, "leaves the directory")
	dir := falseCRIUDir(t)
	for _, readonly := range []bool{true, false} {
		t.Run(fmt.Sprintf("readonly=%t", readonly), func(t *testing.T) {
			c := newContainer(t, args("sleep", "1000"), func(s *specs.Spec) { s.Root.Readonly = readonly }).withFalseCRIU(t, dir, "hang")
			if err := os.RemoveAll(filepath.Join(c.rootfs, "tmp")); err != nil {
				t.Fatal(err)
			}
			c.write("images/inventory.img", "")
			c.write("images/pstree.img", "")
			if err := os.Chmod(c.images(), 0o700); err != nil {
				t.Fatal(err)
			}
			c.write("rootfs/crtools-put-root.kept00/file", "")
			before := readDirNames(c.rootfs)
			i := c.begin(c.restoreArgs("--detach")...)
			eventually(t, "CRIU runs", func() bool { return childNamed(i.Process.Pid, "criu") != 0 })
			if !readonly {
				c.write("rootfs/crtools-put-root.AbC123/x", "")
				os.Remove(filepath.Join(c.rootfs, "crtools-put-root.AbC123/x"))
			}
			if readDirNames(c.rootfs) == before {
				t.Error("the root file system has no directory for the old root")
			}
			_ = syscall.Kill(i.Process.Pid, syscall.SIGKILL)
			i.end()
			c.must("delete", "--force", c.id)
			want(t, "root file system", readDirNames(c.rootfs), before)
		})
	}
}

// A config.json that is stricter than at the dump applies to the restored mounts.
func TestRestoreStricter(t *testing.T) {
	onOneLayout(t)
	c, _ := dumped(t)
	c.edit(func(s *specs.Spec) { s.Mounts[len(s.Mounts)-1].Options = []string{"rbind", "ro", "noexec"} })
	c.must(c.restoreArgs("--detach")...)
	if pid := c.state().Pid; !mountHas(c, pid, "/data", "ro") || !mountHas(c, pid, "/data", "noexec") {
		t.Errorf("the volume is writable: %s", mountTable(t, pid))
	}
}

// onggi restores the images that runc has written.
func TestRestoreOfRunc(t *testing.T) {
	onOneLayout(t)
	runc := os.Getenv("RUNC")
	if runc == "" {
		t.Skip("no runc whose images could be restored: RUNC=")
	}
	c := newContainer(t, sh(counter))
	needsCRIU(t, c)
	c.write("data/n", "")
	c.edit(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: filepath.Join(c.bundle, "data"), Options: []string{"rbind"}})
	})
	c.runtime = runc
	c.up()
	eventually(t, "it counts", func() bool { return c.count() >= 3 })
	c.must("checkpoint", "--image-path", c.images(), "--manage-cgroups-mode", "ignore", c.id)
	n := c.count()
	c.runtime = ""
	c.must(c.restoreArgs("--detach")...)
	want(t, "status", c.status(), "running")
	c.countsOn(n)
	for _, mask := range []string{"/proc/keys", "/proc/acpi", "/proc/sys"} {
		if !mountHas(c, c.state().Pid, mask, "ro") {
			t.Errorf("%s is writable: %s", mask, mountTable(t, c.state().Pid))
		}
	}
}

// countingInUserns returns a container with a user namespace that has run the line and counts.
func countingInUserns(t *testing.T, line string) *container {
	ids := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	return counting(t, sh(line+counter), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
		bundle := filepath.Dir(s.Mounts[len(s.Mounts)-1].Source)
		// busybox is a link to a file of all tests, so only the directories get the owner.
		err := filepath.WalkDir(bundle, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			return os.Lchown(path, 100000, 100000)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A dump would end a container that cannot be restored: CRIU cannot set the owner of the test's memfd, which has no id in
// the user namespace.
func TestCheckpointForeignMemfd(t *testing.T) {
	onOneLayout(t)
	c := countingInUserns(t, "")
	const text = "descriptor 1: /memfd:output: a memfd of the host's 0:0, which has no ids in the user namespace"
	refused(t, c.verb("checkpoint", "--image-path", c.images(), c.id), 1, text)
	c.countsOn(c.count())
	if r := c.verb("checkpoint", "--check", c.id); r.code != 1 || !strings.Contains(r.out, "a memfd of the host's 0:0") || !strings.Contains(r.out, "--leave-running") {
		t.Errorf("%v; want the memfd and --leave-running", r)
	}
	c.must("checkpoint", "--image-path", c.images(), "--leave-running", c.id)
	c.countsOn(c.count())
}

// Two restores can use the same images at the same time. The last one takes the permission away that CRIU needed.
func TestRestoreUserNamespaceTwice(t *testing.T) {
	onOneLayout(t)
	c := countingInUserns(t, "exec >/dev/null 2>&1; ")
	c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
	c.must("checkpoint", "--image-path", c.images(), c.id)
	var all []*invocation
	for i := range 3 {
		args := c.restoreArgs("--detach", "--work-path", t.TempDir())
		args[len(args)-1] = fmt.Sprint(c.id, "-", i)
		t.Cleanup(func() { c.must("delete", "--force", args[len(args)-1]) })
		all = append(all, c.begin(args...))
	}
	for _, i := range all {
		if r := i.end(); r.code != 0 {
			t.Error(r)
		}
	}
	want(t, "mode of the images", mode(t, c.images()), "-rwx------")

	// Permissions that the owner has given stay.
	if err := os.Chmod(c.images(), 0o750); err != nil {
		t.Fatal(err)
	}
	c.must(c.restoreArgs("--detach")...)
	want(t, "mode of the owner's", mode(t, c.images()), "-rwxr-x---")
}

func mode(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm().String()
}

// A container with a user namespace is restored with its maps, masks, devices and volumes.
func TestRestoreUserNamespace(t *testing.T) {
	onOneLayout(t)
	c := countingInUserns(t, "exec >/dev/null 2>&1; ")
	mounts := mountTable(t, c.state().Pid)
	refused(t, c.verb("checkpoint", "--image-path", c.images(), "--pre-dump-until", "5%", c.id), 1, "cannot be restored from pre-dumps")
	c.must("checkpoint", "--image-path", c.images(), c.id)
	n := c.count()
	c.must(c.restoreArgs("--detach")...)
	c.countsOn(n)
	pid := c.state().Pid
	want(t, "mounts", mountTable(t, pid), mounts)
	want(t, "mode of the images", mode(t, c.images()), "-rwx------")
	want(t, "map", strings.Join(strings.Fields(textOf(t, fmt.Sprintf("/proc/%d/uid_map", pid))), " "), "0 100000 65536")
	want(t, "program of exec", c.execOutput(nil, "sh", "-c", "echo x >/dev/null; id -u"), "0")
	c.must("delete", "--force", c.id)
	other := []specs.LinuxIDMapping{{HostID: 200000, Size: 65536}}
	c.edit(func(s *specs.Spec) { s.Linux.UIDMappings, s.Linux.GIDMappings = other, other })
	refused(t, c.verb(c.restoreArgs("--detach")...), 1, "/linux/uidMappings: the uid_map at the dump is")
}

// A port of the container that another program uses is the named cause. After its release the restore succeeds.
func TestRestorePortInUse(t *testing.T) {
	onOneLayout(t)
	port := freePort(t)
	c := newContainer(t, args("busybox", "httpd", "-f", "-p", "127.0.0.1:"+port, "-h", "/"), func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
	})
	needsCRIU(t, c)
	c.up()
	listening := func() bool {
		return strings.Contains(textOf(t, "/proc/net/tcp"), fmt.Sprintf(":%04X 00000000:0000 0A", atoi(t, port)))
	}
	eventually(t, "it listens", listening)
	c.must("checkpoint", "--image-path", c.images(), c.id)
	l, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, c.verb(c.restoreArgs("--detach")...), 1, "a port is in use")
	l.Close()
	c.must(c.restoreArgs("--detach")...)
	eventually(t, "it listens again", listening)
}

// Without CRIU, restore says so.
func TestRestoreWithoutCRIU(t *testing.T) {
	peersLack(t, "has other words")
	c := newContainer(t, args("true"))
	c.env = append(c.env, "PATH=/nonexistent")
	refused(t, c.verb(c.restoreArgs("--detach")...), 1, "criu is not in $PATH")
}

// criuTool starts one of CRIU's servers in the background. It kills the server at the end of the test.
func criuTool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs("../bin/peers/criu")
	if own, lookErr := exec.LookPath("criu"); lookErr == nil {
		path, err = own, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// freePort returns a TCP port of 127.0.0.1 on which no process listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// With a page server, the memory goes to that server. Its pages and the images together are a checkpoint.
func TestRestoreFromPageServer(t *testing.T) {
	onOneLayout(t)
	c := counting(t)
	if err := os.Mkdir(c.images(), 0o700); err != nil {
		t.Fatal(err)
	}
	pages, port := filepath.Join(c.bundle, "pages"), freePort(t)
	if err := os.Mkdir(pages, 0o700); err != nil {
		t.Fatal(err)
	}
	server := criuTool(t, "page-server", "--images-dir", pages, "--address", "127.0.0.1", "--port", port, "-o", "server.log", "-v4")
	eventually(t, "the page server listens", func() bool {
		return strings.Contains(textOf(t, "/proc/net/tcp"), fmt.Sprintf(":%04X 00000000:0000 0A", atoi(t, port)))
	})
	n := c.count()
	c.must("checkpoint", "--image-path", c.images(), "--page-server", "127.0.0.1:"+port, c.id)
	if err := server.Wait(); err != nil {
		t.Errorf("the page server: %v", err)
	}
	files, _ := filepath.Glob(pages + "/*.img")
	if len(files) == 0 {
		t.Fatal("the page server has received nothing")
	}
	for _, file := range files {
		if err := os.Rename(file, filepath.Join(c.images(), filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
	}
	c.must(c.restoreArgs("--detach")...)
	c.countsOn(n)
}

// A restored container runs before its memory is there. A server of CRIU sends each page when the container uses it.
func TestRestoreLazyPages(t *testing.T) {
	onOneLayout(t)
	c, n := dumped(t)
	criuTool(t, "lazy-pages", "--images-dir", c.images(), "-o", "lazy.log", "-v4")
	eventually(t, "the server of pages is ready", func() bool { _, err := os.Stat(filepath.Join(c.images(), "lazy-pages.socket")); return err == nil })
	c.must(c.restoreArgs("--detach", "--lazy-pages")...)
	c.countsOn(n)
}

// The plan of a restore ends with the start of CRIU, after the mounts and the keyring. `onggi plan` changes nothing.
func TestRestorePlan(t *testing.T) {
	c, _ := dumped(t)
	before := readDirNames(c.images())
	out := c.must("plan", "--bundle", c.bundle, "--restore", c.images(), c.id).out
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "criu") || !strings.Contains(last, "swrk") {
		t.Errorf("the last step is %q; want the start of CRIU", last)
	}
	for _, text := range []string{"_ses." + c.id, "/data"} {
		if !strings.Contains(out, text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
	want(t, "images", readDirNames(c.images()), before)
	refused(t, c.verb("plan", "--bundle", c.bundle, "--restore", filepath.Join(c.bundle, "data"), c.id), 1, "has no complete checkpoint")
}
