package libcontainer

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
)

func TestCheckLabels(t *testing.T) {
	none := lsm.Host{Root: t.TempDir()}
	const label = "system_u:system_r:container_t:s0"
	if err := checkLabels(none, &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}); err != nil {
		t.Errorf("no labels: %v", err)
	}
	err := checkLabels(none, &specs.Spec{
		Process: &specs.Process{ApparmorProfile: "p", SelinuxLabel: label},
		Linux:   &specs.Linux{MountLabel: label},
	})
	if err == nil {
		t.Fatal("a host without modules gives labels")
	}
	for _, want := range []string{"/process/apparmorProfile: ", "/process/selinuxLabel: ", "/linux/mountLabel: ", "AppArmor is disabled or not supported", "selinux is disabled or not supported"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v; want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error = %q; want one line", err)
	}
}
