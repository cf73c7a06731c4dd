package lsm

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"
)

// Kind is one label that a process asks for.
type Kind int

const (
	AppArmorExec     Kind = iota // profile from the next execve on
	SELinuxExec                  // context from the next execve on
	SELinuxKeyCreate             // context of keys made from now on
)

// names of the files below /proc/<pid>/attr, the preferred first: the files at
// the top belong to whichever module comes first, which need not be AppArmor.
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

// Value is what has to be written, in one write, for the label to be asked for.
func (k Kind) Value(label string) []byte {
	if k == AppArmorExec {
		return []byte("exec " + label)
	}
	return []byte(label)
}

// OpenExecAttr opens the file to which process pid has to write. procfs is the
// runtime's own; the name is looked up there without following links.
func OpenExecAttr(procfs *os.File, pid int, kind Kind) (*os.File, error) {
	var err error
	for _, name := range kind.names() {
		path := fmt.Sprintf("%d/attr/%s", pid, name)
		var fd int
		fd, err = openBeneath(int(procfs.Fd()), path)
		if err == nil {
			return os.NewFile(uintptr(fd), "/proc/"+path), nil
		}
		// Podman finds label errors by the path in backquotes.
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

// Host is where the modules are asked about. The zero value is this machine.
type Host struct {
	Root string // prefix of /sys, for tests
}

// AppArmorEnabled reads one file. It needs no securityfs, which containers
// that run containers seldom have.
func (h Host) AppArmorEnabled() bool {
	data, err := os.ReadFile(h.Root + "/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(data), "Y")
}

// SELinuxEnabled is false where selinuxfs is read-only, which is how a container
// is told that its host's SELinux is none of its business, and where the kernel
// has no policy.
func (h Host) SELinuxEnabled() bool { return h.Root == "" && selinux.GetEnabled() }

// CheckAppArmor says why a process cannot have the profile. The empty name
// asks for none.
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

// CheckSELinux says why the label cannot be had: it has to be a context, and
// one of the loaded policy. The empty label asks for none.
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
	// The kernel is asked by a write: an unknown context is EINVAL. A file that
	// cannot be written is no answer, and then the process's own write will tell.
	if err := selinux.SecurityCheckContext(label); errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("selinux label %q is not in the loaded policy: %w", label, unix.EINVAL)
	}
	return nil
}

// checkContext: user:role:type or user:role:type:range, where the range may
// have colons of its own. The library accepts empty parts and blanks.
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
