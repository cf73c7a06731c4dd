package tests

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rootless returns a container with the configuration of `spec --rootless`, for an ordinary user with a single id.
func rootless(t *testing.T, edits ...edit) *container {
	t.Helper()
	needCgroupfs(t)
	peersLack(t, "not the subject here")
	const uid = 1000
	c := newContainer(t)
	c.cgroup = "/" + c.id
	dir := filepath.Dir(c.bundle)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		// The files of the root file system are hard links that other bundles share.
		if err == nil && d.IsDir() {
			err = os.Chown(path, uid, uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.wrapper = []string{"setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(uid), "--clear-groups"}
	os.Remove(filepath.Join(c.bundle, "config.json"))
	out, err := exec.Command(env.runtime, "spec", "--rootless", "--bundle", c.bundle).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(c.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c.spec = &specs.Spec{}
	if err := json.Unmarshal(data, c.spec); err != nil {
		t.Fatal(err)
	}
	c.spec.Process.Terminal = false
	c.spec.Linux.UIDMappings = []specs.LinuxIDMapping{idmap(0, uid, 1)}
	c.spec.Linux.GIDMappings = []specs.LinuxIDMapping{idmap(0, uid, 1)}
	c.edit(edits...)
	return c
}

func TestRootlessRuns(t *testing.T) {
	c := rootless(t, sh("id -u; cat /proc/self/uid_map | tr -s ' '; echo > /dev/null && ls /dev/pts/ptmx"))
	want(t, "output", c.output(), "0\n 0 1000 1\n/dev/pts/ptmx")
	c.edit(args("sleep", "1000"))
	c.up()
	want(t, "exec", c.execOutput(nil, "id", "-u"), "0")
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
}

func TestRootlessBinds(t *testing.T) {
	c := rootless(t)
	c.write("volume/file", "found\n")
	c.edit(sh("cat /mnt/file /one; touch /mnt/x 2>&1"), mount(
		specs.Mount{Destination: "/mnt", Type: "bind", Source: filepath.Join(c.bundle, "volume"), Options: []string{"rbind", "ro"}},
		specs.Mount{Destination: "/one", Type: "bind", Source: filepath.Join(c.bundle, "volume/file"), Options: []string{"bind"}},
	))
	want(t, "output", c.run().out, "found\nfound\ntouch: /mnt/x: Read-only file system\n")
	c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: "/root/secret", Options: []string{"bind"}}))
	c.runFails().has(t, "/mounts/", "permission denied", "/root/secret")
}

func TestRootlessTimeOffsets(t *testing.T) {
	c := rootless(t, timeNamespace(0, 400*24*3600), args("cut", "-d.", "-f1", "/proc/uptime"))
	if up := atoi(t, c.output()); up < 400*24*3600 {
		t.Errorf("uptime = %d s; want more than 400 days", up)
	}
}

// The user owns the file. The error must explain the missing interpreter, as it does for root.
func TestRootlessExplainsExecve(t *testing.T) {
	c := rootless(t, args("/bin/it"))
	c.program("bin/it", "#!/no/such/shell\n", 0o755)
	c.runFails().has(t, "/process/args/0", "no such file or directory", "#! line", "/no/such/shell")
}
