package specconv

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Annotations for features that the specification does not have. Those with the
// prefix run.oci come from crun (crun.1, "Extensions to OCI"); engines know them
// by these names.
const (
	// KeepOriginalGroups, "1": the container keeps the runtime's supplementary
	// groups.
	KeepOriginalGroups = "run.oci.keep_original_groups"
	// DelegateCgroup names a cgroup below the container's, on cgroup v2. The
	// container's processes run in it and may divide it.
	DelegateCgroup = "run.oci.delegate-cgroup"
	// SystemdSubgroup names a cgroup below the scope that systemd creates. It
	// becomes the container's cgroup instead of the scope's own. An empty value
	// means no such cgroup.
	SystemdSubgroup = "run.oci.systemd.subgroup"
	// HooksStdout and HooksStderr are files. The output of hooks is appended to
	// them.
	HooksStdout = "run.oci.hooks.stdout"
	HooksStderr = "run.oci.hooks.stderr"
	// MountContextType is the mount parameter for linux.mountLabel. It replaces
	// "context".
	MountContextType = "run.oci.mount_context_type"
	// SeccompFailUnknownSyscall, "1": a name in linux.seccomp that libseccomp
	// does not know is an error.
	SeccompFailUnknownSyscall = "run.oci.seccomp_fail_unknown_syscall"
	// PidfdReceiver is a unix socket to which the runtime sends a pidfd of the
	// first process.
	PidfdReceiver = "run.oci.pidfd_receiver"
	// NetworkEgress and NetworkIngress limit the traffic that the container
	// sends and receives: RATE or RATE:BURST, see ParseBandwidth.
	NetworkEgress  = "dev.onggi.network.egress"
	NetworkIngress = "dev.onggi.network.ingress"
)

// annotations pairs each name with the check of its value. The check returns the
// problem, or "".
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

// KnownAnnotations returns the annotations that change the runtime's behaviour,
// for the features document.
func KnownAnnotations() []string {
	names := make([]string, len(annotations))
	for i, a := range annotations {
		names[i] = a.name
	}
	return names
}

// On reports whether an annotation that is a switch is on.
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

// checkSubCgroup accepts a path that leads downwards only.
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

// checkSubgroup accepts such a path, or an empty value.
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

// checkContextType accepts the parameters of mount(8), "SELinux".
func checkContextType(value string) string {
	switch value {
	case "context", "fscontext", "defcontext", "rootcontext":
		return ""
	}
	return "is not context, fscontext, defcontext or rootcontext"
}
