package tests

import (
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func needNoLSM(t *testing.T) {
	t.Helper()
	peersLack(t, "says it in other words")
	if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil && data[0] == 'Y' {
		t.Skip("AppArmor is enabled here")
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
		t.Skip("SELinux is enabled here")
	}
}

// A label that cannot be set is an error and leaves nothing: no container runs without its label.
func TestLabelsThatTheHostDoesNotHave(t *testing.T) {
	needNoLSM(t)
	const label = "system_u:system_r:container_t:s0:c1,c2"
	tests := []struct {
		name  string
		edit  edit
		field string
		text  string
	}{
		{"apparmorProfile", process(func(p *specs.Process) { p.ApparmorProfile = "docker-default" }), "/process/apparmorProfile: ", `apparmor failed to apply profile: "docker-default" is specified, but AppArmor is disabled`},
		{"selinuxLabel", process(func(p *specs.Process) { p.SelinuxLabel = label }), "/process/selinuxLabel: ", "selinux label is specified in config, but selinux is disabled or not supported"},
		{"mountLabel", func(s *specs.Spec) { s.Linux.MountLabel = label }, "/linux/mountLabel: ", "selinux label is specified in config, but selinux is disabled or not supported"},
		{"not a label", func(s *specs.Spec) { s.Linux.MountLabel = "label" }, "/linux/mountLabel: ", "want user:role:type[:range]"},
		{"context type", annotation("run.oci.mount_context_type", "label"), "/annotations/run.oci.mount_context_type", "is not context, fscontext"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, test.edit)
			c.fails(c.withFlags("create")...).has(t, test.field, "", test.text)
			if dirs := c.cgroupDirs(); len(dirs) > 0 {
				t.Errorf("left: %v", dirs)
			}
		})
	}
	t.Run("exec", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		c.fails("exec", "--apparmor", "docker-default", c.id, "true").has(t, "/process/apparmorProfile: ", "", "AppArmor is disabled or not supported")
		c.fails("exec", "--process-label", label, c.id, "true").has(t, "/process/selinuxLabel: ", "", "selinux is disabled or not supported")
	})
}
