package specconv

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations that ask for what the specification has no words for. Those of
// run.oci are crun's (crun.1, "Extensions to OCI"), since engines know them by these
// names.
const (
	// KeepOriginalGroups, "1": the supplementary groups stay the runtime's.
	KeepOriginalGroups = "run.oci.keep_original_groups"
	// DelegateCgroup names a cgroup below the container's, on cgroup v2: the
	// container's processes live there, and it is theirs to divide.
	DelegateCgroup = "run.oci.delegate-cgroup"
	// SystemdSubgroup names a cgroup below the scope that systemd makes, to be the
	// container's in place of the scope's own; empty for none.
	SystemdSubgroup = "run.oci.systemd.subgroup"
	// HooksStdout and HooksStderr are files that what hooks print is appended to.
	HooksStdout = "run.oci.hooks.stdout"
	HooksStderr = "run.oci.hooks.stderr"
	// MountContextType is the mount parameter that takes linux.mountLabel in
	// place of "context".
	MountContextType = "run.oci.mount_context_type"
	// SeccompFailUnknownSyscall, "1": a name in linux.seccomp that libseccomp
	// does not know is an error.
	SeccompFailUnknownSyscall = "run.oci.seccomp_fail_unknown_syscall"
	// PidfdReceiver is a unix socket that a pidfd of the first process is sent
	// to.
	PidfdReceiver = "run.oci.pidfd_receiver"
	// NetworkEgress and NetworkIngress limit what the container sends and receives:
	// RATE or RATE:BURST, as ParseBandwidth takes it.
	NetworkEgress  = "dev.onggi.network.egress"
	NetworkIngress = "dev.onggi.network.ingress"
)

// annotations pairs each with the check of its value, which says what is wrong.
var annotations = [...]struct {
	name  string
	check func(value string) string
}{
	{KeepOriginalGroups, checkSwitch},
	{DelegateCgroup, checkSubCgroup},
	{SystemdSubgroup, checkSubgroup},
	{HooksStdout, checkFile},
	{HooksStderr, checkFile},
	{MountContextType, checkContextType},
	{SeccompFailUnknownSyscall, checkSwitch},
	{PidfdReceiver, checkFile},
	{NetworkEgress, checkBandwidth},
	{NetworkIngress, checkBandwidth},
}

// KnownAnnotations lists the annotations that change what is done, for the
// features document.
func KnownAnnotations() []string {
	names := make([]string, len(annotations))
	for i, a := range annotations {
		names[i] = a.name
	}
	return names
}

// On tells whether an annotation that is a switch is turned on.
func On(s *specs.Spec, annotation string) bool { return s.Annotations[annotation] == "1" }

func (c *checker) knownAnnotations() {
	for _, a := range annotations {
		value, ok := c.spec.Annotations[a.name]
		if !ok {
			continue
		}
		if problem := a.check(value); problem != "" {
			c.add(at("annotations", a.name), "%q %s", value, problem)
		}
	}
}

func checkSwitch(value string) string {
	if value != "0" && value != "1" {
		return "is neither 0 nor 1"
	}
	return ""
}

// checkSubCgroup: a name that leads nowhere but down.
func checkSubCgroup(value string) string {
	sub := strings.Trim(value, "/")
	switch {
	case sub == "" || path.Clean("/"+sub) != "/"+sub:
		return "is not the path of a cgroup below the container's"
	case strings.ContainsAny(value, "\x00\n"):
		return "has a NUL or newline character"
	}
	return ""
}

// checkSubgroup: one of those, or none.
func checkSubgroup(value string) string {
	if value == "" {
		return ""
	}
	return checkSubCgroup(value)
}

func checkFile(value string) string {
	if !path.IsAbs(value) || hasNUL(value) {
		return "is not an absolute path"
	}
	return ""
}

// checkContextType takes the parameters of mount(8), "SELinux".
func checkContextType(value string) string {
	switch value {
	case "context", "fscontext", "defcontext", "rootcontext":
		return ""
	}
	return "is not context, fscontext, defcontext or rootcontext"
}
