package tests

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// config-linux.md, "IntelRdt": without resctrl the field is an error. Unit tests of libcontainer cover the rest, with a
// directory in place of resctrl.
func TestIntelRdtWithoutResctrl(t *testing.T) {
	peersLack(t, "1.1 takes no notice")
	if strings.Contains(mountinfo(), " - resctrl ") {
		t.Skip("this machine has resctrl")
	}
	c := newContainer(t, func(s *specs.Spec) {
		s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=f"}, EnableMonitoring: true}
	})
	c.fails(c.withFlags("create")...).has(t, "/linux/intelRdt: ", "", "Intel RDT is not enabled: resctrl is not mounted")
	if dirs := c.cgroupDirs(); len(dirs) > 0 {
		t.Errorf("left: %v", dirs)
	}
	if plan := c.must("plan", "--bundle", c.bundle).out; !strings.Contains(plan, "enter /sys/fs/resctrl/gold, /sys/fs/resctrl/gold/mon_groups/container") {
		t.Errorf("the plan does not say it:\n%s", plan)
	}
	if r := c.verb("check", c.bundle); r.code != 1 || !strings.Contains(r.out, "error: /linux/intelRdt: intelRdt is specified in config, but Intel RDT is not enabled") {
		t.Error(r)
	}
	for name, closID := range map[string]string{"a path": "a/b", "upwards": "..", "itself": "."} {
		t.Run(name, func(t *testing.T) {
			newContainer(t, func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: closID} }).
				runFails().has(t, "/linux/intelRdt/closID", "", "is not the name of a directory")
		})
	}
}

func TestUpdateOfIntelRdtNeedsAGroup(t *testing.T) {
	peersLack(t, "says less")
	c := newContainer(t)
	c.up()
	c.fails("update", "--l3-cache-schema", "L3:0=f", c.id).has(t, "/linux/intelRdt: ", "the container has no resctrl group")
	c.fails("update", "--mem-bw-schema", "nonsense", c.id).has(t, "", "", `does not start with "MB:"`)
}
