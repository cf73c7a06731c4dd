package libcontainer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer"
)

// Refused mounts leave no descriptor, process or mount behind, and neither do successful ones.
func TestMountsLeaveNothing(t *testing.T) {
	path, root, name := rootfs(t), t.TempDir(), unique("mounts")
	data := filepath.Join(path, "data")
	must(t, os.MkdirAll(data, 0o755))
	must(t, os.Symlink("/proc", filepath.Join(path, "leads")))
	runtime := newRuntime(t, root)
	check := leavesNothing(t, root, name)
	c, err := runtime.Create(t.Context(), name, libcontainer.CreateOptions{Spec: spec(path, name, "sleep", "1000")})
	must(t, err)
	defer func() {
		must(t, c.Delete(t.Context(), true))
		check()
	}()
	before := look(t, root, name).descriptors
	at := func(source string) specs.Mount {
		return specs.Mount{Destination: "/data", Type: "bind", Source: source, Options: []string{"rbind"}}
	}
	for range 5 {
		for source, text := range map[string]string{
			filepath.Join(path, "leads"): "leads into /proc",
			filepath.Join(path, "none"):  "no such file or directory",
			"/no/such/source":            "no such file or directory",
		} {
			if err := c.AddMounts(t.Context(), []specs.Mount{at(t.TempDir()), at(source)}); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("AddMounts of %s: %v; want %q", source, err, text)
			}
		}
		list := []specs.Mount{at(t.TempDir()), at(data)}
		must(t, c.AddMounts(t.Context(), list))
		must(t, c.RemoveMounts(t.Context(), list))
		if err := c.RemoveMounts(t.Context(), list); err == nil {
			t.Error("RemoveMounts twice: no error")
		}
	}
	if after := look(t, root, name).descriptors; after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
