package libcontainer

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

// containerd's CRI offers recursive read-only mounts and pods with user
// namespaces only to runtimes that have these three.
func TestFeaturesForContainerd(t *testing.T) {
	f := Features()
	if !slices.Contains(f.MountOptions, "rro") {
		t.Errorf("mountOptions = %q; want rro in it", f.MountOptions)
	}
	if !slices.Contains(f.Linux.Namespaces, "user") {
		t.Errorf("namespaces = %q; want user in it", f.Linux.Namespaces)
	}
	if !*f.Linux.MountExtensions.IDMap.Enabled {
		t.Error("mountExtensions.idmap.enabled is false")
	}
}

// features.md: "The runtime MUST recognize the elements in this array".
func TestFeaturesAreRecognised(t *testing.T) {
	f := Features()
	for _, name := range f.Linux.Namespaces {
		if _, ok := specconv.NamespaceFlag(specs.LinuxNamespaceType(name)); !ok {
			t.Errorf("namespace %s is not recognised", name)
		}
	}
	for _, name := range f.Linux.Capabilities {
		if _, ok := specconv.CapabilityBit(name); !ok {
			t.Errorf("capability %s is not recognised", name)
		}
	}
	for _, name := range f.Linux.MemoryPolicy.Modes {
		if _, ok := specconv.MemoryPolicyMode(specs.MemoryPolicyModeType(name)); !ok {
			t.Errorf("memory policy %s is not recognised", name)
		}
	}
	for _, name := range f.Linux.MemoryPolicy.Flags {
		if _, ok := specconv.MemoryPolicyFlag(specs.MemoryPolicyFlagType(name)); !ok {
			t.Errorf("memory policy flag %s is not recognised", name)
		}
	}
	if f.OCIVersionMin > f.OCIVersionMax || f.OCIVersionMax != specs.Version {
		t.Errorf("versions %s to %s; want up to %s", f.OCIVersionMin, f.OCIVersionMax, specs.Version)
	}
	for name, list := range map[string][]string{
		"hooks": f.Hooks, "mountOptions": f.MountOptions, "namespaces": f.Linux.Namespaces,
		"capabilities": f.Linux.Capabilities, "seccomp.actions": f.Linux.Seccomp.Actions,
		"seccomp.operators": f.Linux.Seccomp.Operators, "seccomp.archs": f.Linux.Seccomp.Archs,
		"seccomp.knownFlags": f.Linux.Seccomp.KnownFlags,
	} {
		if len(list) == 0 {
			t.Errorf("%s is empty", name)
		}
		if sorted := slices.Sorted(slices.Values(list)); len(slices.Compact(sorted)) != len(list) {
			t.Errorf("%s has an element twice: %q", name, list)
		}
	}
	for _, flag := range f.Linux.Seccomp.SupportedFlags {
		if !slices.Contains(f.Linux.Seccomp.KnownFlags, flag) {
			t.Errorf("flag %s is supported, but not known", flag)
		}
	}
}

// null means "unknown" in features.md: nothing is unknown to us.
func TestFeaturesAreComplete(t *testing.T) {
	raw, err := json.Marshal(Features())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	linux := got["linux"].(map[string]any)
	for object, fields := range map[string][]string{
		"cgroup":   {"v1", "v2", "systemd", "systemdUser", "rdma"},
		"seccomp":  {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"},
		"apparmor": {"enabled"}, "selinux": {"enabled"}, "netDevices": {"enabled"},
		"memoryPolicy": {"modes", "flags"},
		"intelRdt":     {"enabled", "schemata", "monitoring"},
	} {
		for _, field := range fields {
			if o, _ := linux[object].(map[string]any); o[field] == nil {
				t.Errorf("linux.%s.%s is missing", object, field)
			}
		}
	}
}
