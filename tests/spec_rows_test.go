package tests

import (
	"fmt"
	"os"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The tests of this file each hold a line of docs/conformance.md that no other test holds.

// runtime.md, "Start": a container may be created without a process, but not started. What waits in it has no
// privileges.
func TestAContainerWithoutAProcessCannotBeStarted(t *testing.T) {
	peersLack(t, "such a container cannot be created")
	c := newContainer(t, func(s *specs.Spec) { s.Process = nil })
	c.create()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.state().Pid))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "permitted capabilities", field(string(status), "CapPrm"), "0000000000000000")
	want(t, "no_new_privs", field(string(status), "NoNewPrivs"), "1")
	refused(t, c.verb("start", c.id), 1, "/process: required")
	want(t, "status after start", c.status(), "created")
	c.must("kill", c.id, "KILL")
	c.stopped()
	c.must("delete", c.id)
	refused(t, c.run(), 1, "/process: required")
	want(t, "list", c.must("list", "-q").out, "")
}

func TestErrorsOfLimitsNameTheirField(t *testing.T) {
	peersLack(t, "no fields in errors")
	needController(t, "cpu")
	r := newContainer(t, resources(func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: ptr(int64(1))} })).runFails()
	want(t, "field", r.Field, "/linux/resources/cpu/quota")
	r.has(t, "/linux/resources/cpu/quota", "invalid argument")
}
