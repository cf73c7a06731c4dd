package seccomp

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestImports limits the imports of this package: every start of the runtime pays for them.
func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dear := map[string]bool{"net": true, "net/http": true, "os/exec": true, "os/user": true, "regexp": true, "text/template": true, "runtime/cgo": true, "flag": true}
	for dep := range strings.FieldsSeq(string(out)) {
		if dear[dep] || strings.Contains(dep, "libseccomp") || strings.HasPrefix(dep, "github.com/onggi-dev/onggi/libcontainer") {
			t.Errorf("this package imports %s", dep)
		}
	}
}
