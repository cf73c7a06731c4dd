package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The first process of a created container may wait for hours among hostile processes.

func TestACreatedContainerIsSmall(t *testing.T) {
	peerFails(t, "runc", "has 9 MiB")
	c := newContainer(t)
	c.create()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.state().Pid))
	if err != nil {
		t.Fatal(err)
	}
	if kib := atoi(t, strings.Fields(field(string(status), "VmRSS"))[0]); kib > 200 {
		t.Errorf("resident: %d KiB; want at most 200", kib)
	}
	want(t, "threads", field(string(status), "Threads"), "1")
}

func TestACreatedContainerHasItsFinalCredentials(t *testing.T) {
	c := newContainer(t)
	c.edit(args("sleep", "1000"))
	c.spec.Process.User.UID, c.spec.Process.User.GID = 1000, 1001
	c.edit()
	c.create()
	pid := c.state().Pid
	created, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	eventually(t, "sleep", func() bool { return strings.Contains(describe(pid), "sleep") })
	started, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Uid", "Gid", "Groups", "CapBnd", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs", "Umask"} {
		if name == "CapPrm" {
			continue // execve clears it for users other than root
		}
		want(t, name+" before start", field(string(created), name), field(string(started), name))
	}
}

func TestNothingOfTheRuntimeIsInACreatedContainer(t *testing.T) {
	peerFails(t, "runc", "its first process is itself")
	c := newContainer(t)
	c.create()
	pid := c.state().Pid

	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || !strings.HasPrefix(exe, "/memfd:") && !strings.HasPrefix(exe, "/") || exe == env.runtime {
		t.Errorf("executable = %q, %v; want a memfd", exe, err)
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Stat(env.runtime)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(info, own) || info.Size() > 64<<10 {
		t.Errorf("the executable of a created container has %d bytes", info.Size())
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", pid), os.O_WRONLY, 0)
	if err == nil {
		if _, err = f.WriteString("x"); err == nil {
			t.Error("the executable of a created container can be written")
		}
		f.Close()
	}

	// Descriptors: the three standard ones, the gate, and the pipe that reports an error. None has a name on the host. The
	// first call of the last batch closes the control socket, and create does not wait for that.
	var entries []os.DirEntry
	eventually(t, "the control socket is closed", func() bool {
		entries, err = os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		return err != nil || len(entries) <= 5
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		fd := atoi(t, entry.Name())
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		info, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		switch {
		case fd <= 2:
		case err == nil && info.Mode()&os.ModeNamedPipe != 0:
		default:
			t.Errorf("descriptor %d is %s", fd, link)
		}
	}
	if len(entries) > 5 {
		t.Errorf("%d descriptors; want at most 5", len(entries))
	}

	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); strings.Contains(f[1], "w") && strings.Contains(f[1], "x") {
			t.Errorf("writable and executable: %s", line)
		}
		if strings.Contains(line, filepath.Base(env.runtime)) && !strings.Contains(line, "memfd") {
			t.Errorf("a mapping of the runtime: %s", line)
		}
	}
}

func TestTheContainerInheritsOnlyWhatItIsGiven(t *testing.T) {
	// The engine leaks a directory of the host, a file and a socket above the standard descriptors.
	host, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	root, err := host.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c := newContainer(t, args("ls", "/proc/self/fd"))
	c.extra = []*os.File{host, host, scratch(t), host}
	// ls has one descriptor for the directory that it lists.
	want(t, "descriptors after run", c.output(), "0\n1\n2\n3")

	c.edit(args("sleep", "1000"))
	c.create()
	pid := c.state().Pid
	for _, name := range []string{"3", "4", "5", "6"} {
		if info, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/fd/" + name); err == nil && os.SameFile(info, root) {
			t.Errorf("descriptor %s of the created container is the host's root", name)
		}
	}
	c.start()
	want(t, "descriptors after exec", c.execOutput(nil, "ls", "/proc/self/fd"), "0\n1\n2\n3")
}
