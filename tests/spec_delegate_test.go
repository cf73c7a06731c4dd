package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// writableCgroups makes the container's cgroup mount writable.
func writableCgroups(s *specs.Spec) {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == "/sys/fs/cgroup" {
			s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "rw"}
		}
	}
}

func annotation(key, value string) edit {
	return func(s *specs.Spec) {
		if s.Annotations == nil {
			s.Annotations = map[string]string{}
		}
		s.Annotations[key] = value
	}
}

func needV2(t testing.TB) {
	t.Helper()
	if env.layout != "v2" {
		t.Skipf("cgroups are delegated on pure cgroup v2 only; this layout is %s", env.layout)
	}
}

func ownerOf(t testing.TB, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid))
}

// ready reports whether the container has created /tmp/ready. An exec that asks would disturb the container.
func (c *container) ready() bool {
	_, err := os.Stat(filepath.Join(c.rootfs, "tmp/ready"))
	return err == nil
}

// config-linux.md, "Cgroup ownership": the container's user owns a writable cgroup if the container has a cgroup
// namespace.
func TestCgroupOwnership(t *testing.T) {
	needV2(t)
	user := func(uid uint32) edit { return func(s *specs.Spec) { s.Process.User.UID = uid } }
	tests := []struct {
		name  string
		edits []edit
		want  string
	}{
		{"user namespace", []edit{userNamespace(100000), writableCgroups}, "100000"},
		{"user namespace, another user", []edit{userNamespace(100000), writableCgroups, user(7)}, "100007"},
		{"no user namespace", []edit{writableCgroups, user(1000)}, "1000"},
		{"read-only", []edit{userNamespace(100000)}, "0"},
		{"the host's cgroup namespace", []edit{userNamespace(100000), writableCgroups, without(specs.CgroupNamespace)}, "0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, test.edits...)
			c.create()
			dir := filepath.Join("/sys/fs/cgroup", c.cgroup)
			delegated, err := os.ReadFile("/sys/kernel/cgroup/delegate")
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range append(strings.Fields(string(delegated)), "") {
				if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
					want(t, "owner of "+file, ownerOf(t, filepath.Join(dir, file)), test.want)
				}
			}
			for _, file := range []string{"cgroup.events", "cgroup.type", "cgroup.freeze", "cgroup.max.depth"} {
				want(t, "owner of "+file, ownerOf(t, filepath.Join(dir, file)), "0")
			}
		})
	}
	t.Run("it can be used", func(t *testing.T) {
		c := newContainer(t, userNamespace(100000), writableCgroups,
			sh("cd /sys/fs/cgroup && mkdir child && echo $$ > child/cgroup.procs && grep ^0: /proc/self/cgroup; echo max > cgroup.max.depth"))
		r := c.run()
		if !strings.HasPrefix(r.out, "0::/child\n") || !strings.Contains(r.err, "ermission denied") {
			t.Errorf("want a cgroup of its own, and no hand on its limits\n%v", r)
		}
	})
}

// The container moves its processes to a child cgroup, so its own cgroup can have none. exec must enter the child cgroup.
func TestExecFollowsAContainerThatDividedItsCgroup(t *testing.T) {
	needV2(t)
	c := newContainer(t, userNamespace(100000), writableCgroups, sh(`cd /sys/fs/cgroup && mkdir child && echo $$ > child/cgroup.procs &&
		echo +$(cut -d' ' -f1 cgroup.controllers) > cgroup.subtree_control && touch /tmp/ready && sleep 1000`))
	c.up()
	eventually(t, "the container has divided its cgroup", c.ready)
	want(t, "cgroup of exec", c.execOutput(nil, "grep", "^0:", "/proc/self/cgroup"), "0::/child")
	// exec --cgroup / asks for exactly this cgroup, so it must fail.
	r := c.exec([]string{"--cgroup", "/"}, "true")
	if r.code == 0 || !strings.Contains(r.err, "resource busy") {
		t.Errorf("exec --cgroup / into a divided cgroup\n%v", r)
	}
	// If the child cgroup is frozen, exec must not enter it.
	freeze := filepath.Join("/sys/fs/cgroup", c.cgroup, "child/cgroup.freeze")
	for _, state := range []string{"1", "0"} {
		if err := os.WriteFile(freeze, []byte(state), 0); err != nil {
			t.Fatal(err)
		}
		if r := c.exec(nil, "true"); state == "1" && !strings.Contains(r.err, "cannot exec in a paused container") || state == "0" && r.code != 0 {
			t.Errorf("exec with cgroup.freeze %s\n%v", state, r)
		}
	}
}

func TestDelegateCgroupAnnotation(t *testing.T) {
	peerFails(t, "runc", "crun's annotation")
	needV2(t)
	c := newContainer(t, userNamespace(100000), writableCgroups, annotation("run.oci.delegate-cgroup", "/payload/init"), sh(`
		grep ^0: /proc/self/cgroup; cd /sys/fs/cgroup/payload/init; cat cgroup.controllers | grep -c .
		mkdir sub && echo $$ > sub/cgroup.procs && grep ^0: /proc/self/cgroup && touch /tmp/ready && sleep 1000`))
	i := c.create()
	c.start()
	dir := filepath.Join("/sys/fs/cgroup", c.cgroup, "payload/init")
	want(t, "owner", ownerOf(t, dir), "100000")
	eventually(t, "sleep", c.ready)
	want(t, "output", contents(i.out), "0::/payload/init\n1\n0::/payload/init/sub\n")
	want(t, "cgroup of exec", c.execOutput(nil, "grep", "^0:", "/proc/self/cgroup"), "0::/payload/init")
	if got := strings.Fields(c.must("ps", "--format", "json", c.id).out); len(got) == 0 {
		t.Error("ps does not find its processes")
	}
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
}

func TestDelegateCgroupAnnotationRefused(t *testing.T) {
	peerFails(t, "runc", "crun's annotation")
	c := newContainer(t, annotation("run.oci.delegate-cgroup", "../up"))
	c.runFails().has(t, "/annotations/run.oci.delegate-cgroup", "not the path of a cgroup below the container's")
	if env.layout != "v2" {
		c.edit(annotation("run.oci.delegate-cgroup", "init"))
		c.runFails().has(t, "/annotations/run.oci.delegate-cgroup", "", "needs cgroup v2")
	}
}
