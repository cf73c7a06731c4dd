package lsm

// FileLabel is the extended attribute that is a file's SELinux context.
const FileLabel = "security.selinux"

// MountLabel is how the files of a mount get their context.
type MountLabel int

const (
	NoLabel      MountLabel = iota // the file system labels its files by itself
	ContextParam                   // fsconfig(FSCONFIG_SET_STRING, "context", label), verbatim: no quotes
	LabelRoot                      // setxattr(FileLabel) on the root once it is mounted
)

// LabelOf tells it for a new mount of a file system type. The context
// parameter is refused by those that have a policy of their own in the kernel
// (genfscon) and would only be set for all mounts of them at once.
func LabelOf(fstype string) MountLabel {
	switch fstype {
	case "proc", "sysfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf", "selinuxfs":
		return NoLabel
	case "mqueue":
		return LabelRoot
	}
	return ContextParam
}
