package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// With a low limit of open files, the runtime works, or it names the limit and leaves nothing.
func TestTheLimitOfDescriptorsIsNamed(t *testing.T) {
	peerFails(t, "runc", "names no limit")
	peerFails(t, "crun", "names no limit")
	for n := 6; n < 24; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) { withDescriptors(t, newContainer(t), n) })
	}
}

// Each bind mount holds a descriptor until it is mounted.
func TestManyMountsWithFewDescriptors(t *testing.T) {
	peerFails(t, "runc", "names no limit")
	peerFails(t, "crun", "names no limit")
	c := newContainer(t)
	for i := range 200 {
		c.spec.Mounts = append(c.spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/b%d", i), Source: c.rootfs, Type: "bind", Options: []string{"bind"}})
	}
	c.edit()
	withDescriptors(t, c, 128)
	c.create() // without the limit
}

func withDescriptors(t *testing.T, c *container, n int) {
	t.Helper()
	c.edit(func(s *specs.Spec) { s.Process.Rlimits = nil }) // raising limits is another subject
	c.wrapper = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, n), "sh"}
	r := c.verb(c.withFlags("create")...)
	c.wrapper = nil
	if r.code == 0 {
		c.must("delete", "--force", c.id)
		return
	}
	if !strings.Contains(r.err, fmt.Sprintf("RLIMIT_NOFILE, is %d", n)) || !strings.Contains(r.err, "too many open files") {
		t.Errorf("%v; want an error that names the limit", r)
	}
	if _, err := os.Lstat(filepath.Join(c.root, c.id)); err == nil {
		t.Errorf("with %d descriptors, the state directory is left", n)
	}
}
