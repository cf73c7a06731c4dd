package lsm

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"
)

// Kind is the kind of a label that a process requests.
type Kind int

const (
	AppArmorExec     Kind = iota // AppArmor profile from the next execve on
	SELinuxExec                  // SELinux context from the next execve on
	SELinuxKeyCreate             // SELinux context of keys created from now on
)

// names returns the files below /proc/<pid>/attr, the preferred one first. The files
// directly in attr belong to the first security module, which need not be AppArmor.
func (k Kind) names() []string {
	switch k {
	case AppArmorExec:
		return []string{"apparmor/exec", "exec"}
	case SELinuxExec:
		return []string{"exec"}
	case SELinuxKeyCreate:
		return []string{"keycreate"}
	}
	panic(fmt.Sprintf("BUG: label of kind %d", int(k)))
}

// Value returns the text that requests the label. It must be written in one write.
func (k Kind) Value(label string) []byte {
	if k == AppArmorExec {
		return []byte("exec " + label)
	}
	return []byte(label)
}

// OpenExecAttr opens the file to which process pid must write. procfs is the runtime's
// own. The lookup follows no symlinks.
func OpenExecAttr(procfs *os.File, pid int, kind Kind) (*os.File, error) {
	var err error
	for _, name := range kind.names() {
		path := fmt.Sprintf("%d/attr/%s", pid, name)
		var fd int
		fd, err = openBeneath(int(procfs.Fd()), path)
		if err == nil {
			return os.NewFile(uintptr(fd), "/proc/"+path), nil
		}
		// Podman recognises label errors by the path in backquotes.
		err = fmt.Errorf("open `/proc/%s`: %w", path, err)
	}
	return nil, err
}

func openBeneath(dirfd int, path string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_WRONLY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(dirfd, path, &how)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Host is the host whose security modules are queried. The zero value is this machine.
type Host struct {
	Root string // prefix of /sys, for tests
}

// AppArmorEnabled reads one file. It needs no securityfs, which is rarely mounted in
// containers that run containers.
func (h Host) AppArmorEnabled() bool {
	data, err := os.ReadFile(h.Root + "/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(data), "Y")
}

// SELinuxEnabled reports whether SELinux labels can be used. It is false if the kernel has
// no policy or if selinuxfs is read-only. A read-only selinuxfs tells a container not to
// use the SELinux of its host.
func (h Host) SELinuxEnabled() bool { return h.Root == "" && selinux.GetEnabled() }

// CheckAppArmor returns the reason why a process cannot have the profile. The empty name
// requests none.
func (h Host) CheckAppArmor(profile string) error {
	switch {
	case profile == "":
		return nil
	case strings.ContainsAny(profile, "\x00\n"):
		return fmt.Errorf("apparmor profile %q: it has a control character", profile)
	case !h.AppArmorEnabled():
		return fmt.Errorf("unable to apply apparmor profile: apparmor failed to apply profile: %q is specified, but AppArmor is disabled or not supported", profile)
	}
	return nil
}

// CheckSELinux returns an error if the label cannot be used: it must be a context of the
// loaded policy. The empty label requests none.
func (h Host) CheckSELinux(label string) error {
	if label == "" {
		return nil
	}
	if err := checkContext(label); err != nil {
		return err
	}
	if !h.SELinuxEnabled() {
		return fmt.Errorf("selinux label is specified in config, but selinux is disabled or not supported: %q", label)
	}
	// The library writes the label to a kernel file; an unknown context is EINVAL. If
	// that file cannot be written, the label stays unchecked, and the process's own
	// write fails for a bad label.
	if err := selinux.SecurityCheckContext(label); errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("selinux label %q is not in the loaded policy: %w", label, unix.EINVAL)
	}
	return nil
}

// checkContext accepts user:role:type and user:role:type:range. The range may contain
// colons. The check is stricter than the library, which accepts empty parts and blanks.
func checkContext(label string) error {
	context, err := selinux.NewContext(label)
	if err != nil {
		return fmt.Errorf("selinux label %q: want user:role:type[:range]", label)
	}
	for name, part := range context {
		blank := strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r == 0x7f })
		if blank || part == "" && (name != "level" || strings.HasSuffix(label, ":")) {
			return fmt.Errorf("selinux label %q: a part of it is empty or has a blank", label)
		}
	}
	return nil
}
