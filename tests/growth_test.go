package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mountpoints that are missing are made some batches ahead of their mounts, and each result belongs to one of those
// batches. They were taken from the last one: out of its range with many mounts, and another mount's with fewer.
func TestManyMissingMountpoints(t *testing.T) {
	for _, tt := range []struct{ mounts, depth int }{{3000, 1}, {250, 2}, {100, 5}, {60, 20}} {
		t.Run(fmt.Sprintf("%d at depth %d", tt.mounts, tt.depth), func(t *testing.T) {
			if tt.mounts > 1000 && testing.Short() {
				t.Skip("a long one")
			}
			c := newContainer(t, args("cat", "/proc/self/mountinfo"))
			c.write("source/file", "")
			var list []specs.Mount
			for n := range tt.mounts {
				path := "/made" + strings.Repeat(fmt.Sprintf("/%d", n), tt.depth)
				m := specs.Mount{Destination: path, Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: []string{"bind"}}
				if n%3 == 0 {
					m = specs.Mount{Destination: path, Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}}
				}
				list = append(list, m)
			}
			c.edit(mount(list...))
			if got := strings.Count(c.output(), " /made/"); got != tt.mounts {
				t.Errorf("%d of them are mounted; want %d", got, tt.mounts)
			}
		})
	}
}
