package engines

import (
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

// differ are the cases that are about the runtime's binary, which onggi's shim does not call: two wait for its process.
// tests/shim kills the shim while it creates.
var differ = []string{"runtime class", "containerd is killed while creating", "shim is killed while creating"}

// withShim returns the same engine and cases with onggi's own shim.
func withShim(e engine) engine {
	e.name += " with onggi's shim"
	e.shim = true
	start := e.start
	e.start = func(t *testing.T) client {
		env.shim = onggiShim
		t.Cleanup(func() { env.shim = runcShim })
		return start(t)
	}
	e.cases = slices.DeleteFunc(slices.Clone(e.cases), func(c testCase) bool { return slices.Contains(differ, c.name) })
	return e
}

// useShim changes the runtime of the CRI in containerd's configuration to onggi's shim, which needs no options.
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
	text = strings.Replace(text, "io.containerd.runc.v2", "io.containerd.onggi.v1", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
