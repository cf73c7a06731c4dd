package libcontainer

import (
	"context"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/onggi-dev/onggi/libcontainer/internal/systemd"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

// oldestSpec is the first version of the specification that is no pre-release. Its
// configurations still mean the same.
const oldestSpec = "1.0.0"

// Features returns what this library supports, in the form of features.md and
// features-linux.md. The host does not matter, with two exceptions that are determined at
// the call: the version of libseccomp, and the seccomp flags of the kernel.
func Features() *features.Features {
	return &features.Features{
		OCIVersionMin: oldestSpec,
		OCIVersionMax: specs.Version,
		Hooks:         hookKinds(),
		MountOptions:  specconv.KnownMountOptions(),
		Linux:         linuxFeatures(),
		Annotations:   versions(),
		// Annotations that a config.json may have. The last one stands for all names that
		// begin with it.
		PotentiallyUnsafeConfigAnnotations: append(specconv.KnownAnnotations(), systemd.AnnotationPrefix),
	}
}

func linuxFeatures() *features.Linux {
	return &features.Linux{
		Namespaces:   namespaceNames(),
		Capabilities: specconv.KnownCapabilities(),
		Cgroup: &features.Cgroup{
			V1: known(true), V2: known(true), Rdma: known(true),
			Systemd: known(true), SystemdUser: known(true),
		},
		Seccomp: &features.Seccomp{
			Enabled:        known(true),
			Actions:        seccomp.Actions(),
			Operators:      seccomp.Operators(),
			Archs:          seccomp.Archs(),
			KnownFlags:     seccomp.KnownFlags(),
			SupportedFlags: seccomp.SupportedFlags(),
		},
		Apparmor:        &features.Apparmor{Enabled: known(true)},
		Selinux:         &features.Selinux{Enabled: known(true)},
		IntelRdt:        &features.IntelRdt{Enabled: known(true), Schemata: known(true), Monitoring: known(true)},
		MemoryPolicy:    memoryPolicies(),
		MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: known(true)}},
		NetDevices:      &features.NetDevices{Enabled: known(true)},
	}
}

func hookKinds() (kinds []string) {
	for _, list := range specconv.HookLists(nil) {
		kinds = append(kinds, list.Kind)
	}
	return kinds
}

// namespaceNames returns the types of namespaces, sorted.
func namespaceNames() []string {
	names := []string{
		string(specs.PIDNamespace), string(specs.NetworkNamespace), string(specs.MountNamespace), string(specs.IPCNamespace),
		string(specs.UTSNamespace), string(specs.UserNamespace), string(specs.CgroupNamespace), string(specs.TimeNamespace),
	}
	slices.Sort(names)
	return names
}

func memoryPolicies() *features.MemoryPolicy {
	return &features.MemoryPolicy{
		Modes: []string{
			string(specs.MpolDefault), string(specs.MpolPreferred), string(specs.MpolBind), string(specs.MpolInterleave),
			string(specs.MpolLocal), string(specs.MpolPreferredMany), string(specs.MpolWeightedInterleave),
		},
		Flags: []string{string(specs.MpolFStaticNodes), string(specs.MpolFRelativeNodes), string(specs.MpolFNumaBalancing)},
	}
}

// versions returns the annotations, with names in the manner of runc.
func versions() map[string]string {
	all := map[string]string{
		"dev.onggi.version":                          Version(),
		"dev.onggi.checkpoint.enabled":               "true",
		"org.opencontainers.runc.checkpoint.enabled": "true", // engines ask for runc's name
	}
	if v, err := SeccompVersion(context.Background()); err == nil {
		all["io.github.seccomp.libseccomp.version"] = v
	}
	return all
}

// known returns a pointer to b. The null of a nil pointer means "unknown".
func known(b bool) *bool { return &b }
