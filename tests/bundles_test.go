package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// engineBundle is a bundle of testdata/bundles with a busybox root file system, limits of the test, and the harness's cgroup.
func engineBundle(t *testing.T, dir string) *container {
	t.Helper()
	c := newContainer(t)
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c.spec = &specs.Spec{}
	decode(t, string(data), c.spec)
	if files := filepath.Join(dir, "files"); exec.Command("test", "-d", files).Run() == nil {
		if out, err := exec.Command("cp", "-r", files, c.bundle).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c.spec.Linux.CgroupsPath = c.cgroupsPath()
	if env.layout == "v2" && !unifiedHas("/sys/fs/cgroup", "memory") {
		// The limits need controllers that this machine has on v1 only.
		c.spec.Linux.Resources = &specs.LinuxResources{Devices: c.spec.Linux.Resources.Devices}
	}
	c.edit()
	return c
}

func TestBundlesOfRealEngines(t *testing.T) {
	dirs, err := filepath.Glob("testdata/bundles/*/config.json")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no bundles: %v", err)
	}
	for _, config := range dirs {
		name := filepath.Base(filepath.Dir(config))
		t.Run(name, func(t *testing.T) {
			if name == "docker-29" {
				peerFails(t, "runc", "has no time namespaces before 1.2")
			}
			c := engineBundle(t, filepath.Dir(config))
			if r := c.run(); r.code != 0 {
				t.Fatal(r)
			}
			c.edit(args("/bin/sleep", "1000"))
			c.create()
			c.start()
			want(t, "exec", c.execOutput(nil, "/bin/echo", "hello"), "hello")
			c.must("kill", c.id, "9")
			c.stopped()
			c.must("delete", c.id)
		})
	}
}
