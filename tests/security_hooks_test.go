package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// reporting adds a hook of a kind. The hook writes the output of a shell line to a file that any user may write.
func reporting(c *container, kind, line string) (read func() string) {
	c.write("report/file", "")
	file := filepath.Join(c.bundle, "report/file")
	os.Chmod(file, 0o666)
	c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Dir(file), Options: []string{"bind"}}))
	path := file
	if kind == "startContainer" {
		path = "/mnt/file"
	}
	c.edit(hooks(kind, hook(fmt.Sprintf("{ %s; } > %s", line, path))))
	return func() string {
		data, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
}

// A startContainer hook has the restrictions of the program.
func TestStartContainerHookIsConfinedLikeTheProgram(t *testing.T) {
	c := newContainer(t, seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}))
	read := reporting(c, "startContainer", `grep -E "^(Seccomp|CapBnd|NoNewPrivs):" /proc/self/status; mkdir /tmp/x && echo made; ls /proc/self/fd | tr "\n" " "`)
	c.output()
	// ls has one descriptor for the directory that it lists.
	want(t, "hook", read(), "CapBnd:\t0000000020000420\nNoNewPrivs:\t1\nSeccomp:\t2\n0 1 2 3")
}

func TestAHooksFirstArgumentIsNotItsProgram(t *testing.T) {
	for _, kind := range hookKinds {
		c := newContainer(t)
		read := reporting(c, kind, "echo right")
		c.edit(func(s *specs.Spec) {
			for _, list := range [][]specs.Hook{s.Hooks.Prestart, s.Hooks.CreateRuntime, s.Hooks.CreateContainer, s.Hooks.StartContainer, s.Hooks.Poststart, s.Hooks.Poststop} {
				for i := range list {
					list[i].Args[0] = "/no/such/sh"
				}
			}
		})
		c.output()
		want(t, kind, read(), "right")
	}
}

// createContainer hooks have the privileges to change the container's mounts, also in a user namespace.
func TestCreateContainerHookIsRootOfTheUserNamespace(t *testing.T) {
	c := newContainer(t, userNamespace(100000))
	read := reporting(c, "createContainer", `id -u; id -g; grep CapEff /proc/self/status | cut -f2; ls /proc/self/fd | tr "\n" " "`)
	c.output()
	lines := strings.Split(read(), "\n")
	if len(lines) != 4 || lines[0] != "0" || lines[1] != "0" || strings.Trim(lines[2], "0") == "" || lines[3] != "0 1 2 3 " && lines[3] != "0 1 2 3" {
		t.Errorf("hook: %q", lines)
	}
}

// A joined pid namespace has foreign processes in it. They must not see a hook with the runtime's privileges.
func TestCreateContainerHookIsNotSeenInAJoinedPidNamespace(t *testing.T) {
	peerFails(t, "runc", "shows it")
	sandbox := newContainer(t)
	pid := sandbox.up()
	host := nsOf(t, "self", specs.PIDNamespace)
	c := newContainer(t, without(specs.PIDNamespace), func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: fmt.Sprintf("/proc/%d/ns/pid", pid)})
	})
	read := reporting(c, "createContainer", "readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt")
	c.output()
	namespaces := strings.Fields(read())
	if len(namespaces) != 2 || namespaces[0] != host || namespaces[1] == nsOf(t, "self", specs.MountNamespace) {
		t.Errorf("namespaces of the hook = %v; want the pid namespace %s, and another mount namespace than ours", namespaces, host)
	}
}
