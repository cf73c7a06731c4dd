package engines

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The two programs that run containers for containerd. The second one needs no runtime.
const (
	runcShim  = "containerd-shim-runc-v2"
	onggiShim = "containerd-shim-onggi-v1"
)

// differ are the cases that are about the runtime's binary, which onggi's shim does not call: three wait for its process.
// tests/shim kills the shim while it creates. BuildKit uses no shim.
var differ = []string{"runtime class", "containerd is killed while creating", "shim is killed while creating", "dockerd is killed while creating", "build with BuildKit"}

// withOwnShim ends the name of an engine with onggi's own shim.
const withOwnShim = " with onggi's shim"

// withShim returns the same engine and cases with onggi's own shim.
func withShim(e engine) engine {
	e.name += withOwnShim
	e.shim = true
	start, usesDocker := e.start, e.needs["dockerd"] != ""
	e.start = func(t *testing.T) client {
		env.shim = onggiShim
		t.Cleanup(func() { env.shim = runcShim })
		if usesDocker {
			t.Cleanup(dockerShim(t, e.title()))
		}
		return start(t)
	}
	e.cases = slices.DeleteFunc(slices.Clone(e.cases), func(c testCase) bool { return slices.Contains(differ, c.name) })
	switch _, usesCRI := e.needs["crictl"]; {
	case usesDocker:
		e.cases = append(e.cases, ownShim(func(c *client) { c.dockerDetached("", "sleep", "1000") }))
	case usesCRI:
		e.cases = append(e.cases, ownShim(func(c *client) {
			id := c.container(nil, "sleep", "1000")
			c.daemon.stop()
			c.daemon.start() // it finds the shim again
			c.until("hello", "exec", "--sync", id, "echo", "hello")
		}))
	}
	return e
}

// ownShim is the case that a container, which start leaves running, belongs to onggi's shim.
func ownShim(start func(c *client)) testCase {
	return testCase{"the shim is onggi's", func(c *client) {
		start(c)
		if len(processes(onggiShim)) != 1 || len(processes(runcShim)) != 0 {
			c.Errorf("onggi's shims: %d, containerd's: %d", len(processes(onggiShim)), len(processes(runcShim)))
		}
	}}
}

// useShim changes the runtime of the CRI in containerd's configuration to onggi's shim, which needs no options. The
// type stays with containerd 2, which reads the features of runc's type only. containerd 1.6 ignores the path.
func useShim(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, _, found := strings.Cut(string(data), "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.onggi.options]")
	if !found {
		t.Fatalf("%s has no options of the runtime", file)
	}
	const kind = "runtime_type = \"io.containerd.runc.v2\"\n"
	own := kind + "runtime_path = \"/usr/local/sbin/" + onggiShim + "\"\n"
	if strings.HasPrefix(number.FindString(cri().title()), "1.") {
		own = strings.Replace(kind, "runc.v2", "onggi.v1", 1)
	}
	text = strings.Replace(text, kind, own, 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// namedShims is the first Docker whose daemon.json can name a shim of containerd.
const namedShims = 23

// dockerShim makes onggi's shim the one for Docker's containers. An older Docker calls runc's shim by its name, so that
// onggi's gets this name, in a directory that comes first on the PATH. The returned function takes it away.
func dockerShim(t *testing.T, title string) func() {
	t.Helper()
	var major int
	if _, err := fmt.Sscanf(number.FindString(title), "%d.", &major); err != nil {
		t.Fatalf("version of %s: %v", title, err)
	}
	if major >= namedShims {
		return func() {}
	}
	link := "/usr/local/sbin/" + runcShim
	if err := os.Symlink(onggiShim, link); err != nil {
		t.Fatal(err)
	}
	return func() { os.Remove(link) }
}

// dockerShimConfig makes onggi's shim the runtime in daemon.json, if this Docker can.
func dockerShimConfig(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Lstat("/usr/local/sbin/" + runcShim); err == nil {
		return
	}
	place(t, file, `{"runtimes": {"onggi": {"runtimeType": "io.containerd.onggi.v1"}}, "default-runtime": "onggi"}`)
}
