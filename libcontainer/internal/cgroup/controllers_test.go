package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestLacks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu memory\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one, swappiness := int64(1<<20), uint64(10)
	class, off := uint32(7), false
	r := &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &one, Swappiness: &swappiness, UseHierarchy: &off},
		Pids:    &specs.LinuxPids{Limit: &one},
		Network: &specs.LinuxNetwork{ClassID: &class},
	}
	v2 := Paths{Unified: &Dir{Mountpoint: dir, Path: "/c"}}
	v1 := Paths{V1: []Dir{{Controllers: []string{"memory"}, Mountpoint: dir, Path: "/c"}}}
	tests := []struct {
		name string
		p    Paths
		r    *specs.LinuxResources
		want []string
	}{
		{"nothing asked for", v2, &specs.LinuxResources{}, nil},
		{"no cgroup", Paths{}, r, nil},
		{"v2", v2, r, []string{"/memory/swappiness: ", "/pids/limit: the pids controller is not available"}},
		{"v1", v1, r, []string{"/pids/limit: cannot set pids limit: container could not join or create cgroup", "/network/classID: cannot set net_cls limit: container could not join or create cgroup"}},
	}
	for _, tt := range tests {
		warnings := 0
		got := tt.p.Lacks(tt.r, func(string) { warnings++ })
		if want := min(len(tt.want), 1); warnings != want {
			t.Errorf("%s: %d warnings; want %d", tt.name, warnings, want)
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: Lacks = %v; want %q", tt.name, got, tt.want)
			continue
		}
		for i, err := range got {
			if !strings.HasPrefix(err.Error(), resources+tt.want[i]) {
				t.Errorf("%s: Lacks has %q; want %q", tt.name, err, tt.want[i])
			}
		}
	}
}
