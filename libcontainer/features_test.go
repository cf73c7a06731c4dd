package libcontainer

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

// containerd's CRI offers recursive read-only mounts and pods with user namespaces only to runtimes that list these three.
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

// In features.md null means "unknown". onggi knows everything.
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

// Features lists every accepted value. The test tries all words of the specification: the parser accepts exactly
// those that features lists, and refuses the rest.
func TestEverythingAcceptedIsInFeatures(t *testing.T) {
	f := Features()
	words := specWords(t)
	for kind, test := range map[string]struct {
		listed  []string
		refusal string
		ask     func(s *specs.Spec, word string)
	}{
		"namespace": {f.Linux.Namespaces, "unknown namespace %q", func(s *specs.Spec, w string) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.LinuxNamespaceType(w)}}
		}},
		"seccomp action": {f.Linux.Seccomp.Actions, "string %s is not a valid action", func(s *specs.Spec, w string) {
			s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.LinuxSeccompAction(w)}}
		}},
		"seccomp default action": {f.Linux.Seccomp.Actions, "string %s is not a valid action", func(s *specs.Spec, w string) {
			s.Linux.Seccomp.DefaultAction = specs.LinuxSeccompAction(w)
		}},
		"seccomp operator": {f.Linux.Seccomp.Operators, "string %s is not a valid operator", func(s *specs.Spec, w string) {
			s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{
				Names: []string{"mkdir"}, Action: specs.ActKill, Args: []specs.LinuxSeccompArg{{Op: specs.LinuxSeccompOperator(w)}},
			}}
		}},
		"seccomp architecture": {f.Linux.Seccomp.Archs, "string %s is not a valid arch", func(s *specs.Spec, w string) { s.Linux.Seccomp.Architectures = []specs.Arch{specs.Arch(w)} }},
		"seccomp flag": {f.Linux.Seccomp.KnownFlags, "seccomp flag %s is not known", func(s *specs.Spec, w string) {
			s.Linux.Seccomp.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(w)}
		}},
		"memory policy": {f.Linux.MemoryPolicy.Modes, "invalid memory policy mode %q", func(s *specs.Spec, w string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(w), Nodes: "0"}
		}},
		"memory policy flag": {f.Linux.MemoryPolicy.Flags, "invalid memory policy flag %q", func(s *specs.Spec, w string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(w)}}
		}},
	} {
		for _, word := range append(words, test.listed...) {
			s := specconv.Example()
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
			test.ask(s, word)
			err := specconv.Validate(s)
			// A known word may still be wrong in this configuration.
			accepted := err == nil || !strings.Contains(err.Error(), fmt.Sprintf(test.refusal, word))
			if listed := slices.Contains(test.listed, word); accepted != listed {
				t.Errorf("%s %q: accepted %v, listed %v: %v", kind, word, accepted, listed, err)
			}
		}
	}
	for _, word := range append(words, f.Linux.Capabilities...) {
		_, unknown := specconv.CapabilityMask([]string{word})
		if listed := slices.Contains(f.Linux.Capabilities, word); (len(unknown) == 0) != listed && word == strings.ToUpper(word) && strings.HasPrefix(word, "CAP_") {
			t.Errorf("capability %q: accepted %v, listed %v", word, len(unknown) == 0, listed)
		}
	}
	for _, word := range append(words, f.MountOptions...) {
		o, err := specconv.ParseMountOptions("tmpfs", []string{word})
		known := len(o.Data) == 0
		switch word {
		case "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group":
			known = false // words of /etc/fstab, which never reach a file system
		}
		if listed := slices.Contains(f.MountOptions, word); known != listed {
			t.Errorf("mount option %q: accepted %v, listed %v: %v", word, known, listed, err)
		}
	}
}

// specWords returns all words of the specification, whose text is in its Go module.
func specWords(t *testing.T) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.md"))
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool {
			return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			seen[word] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
