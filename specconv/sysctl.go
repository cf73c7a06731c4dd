package specconv

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SysctlPath splits a sysctl key into the components of its path below
// /proc/sys. As in sysctl(8), the first separator of the key decides. It is "."
// in net.ipv4.conf.eno2/100.rp_filter, where "/" then stands for a dot in a name.
// It is "/" in net/ipv4/conf/eno2.100/rp_filter, which is the same file.
//
// No component is empty, "." or "..", so the checked path is the opened path:
// net/../kernel/panic is refused. The caller that opens the file still has to
// stay beneath /proc/sys and follow no symlink.
func SysctlPath(key string) ([]string, error) {
	path := key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		path = strings.Map(swapSeparators, key)
	}
	components := strings.Split(path, "/")
	for _, c := range components {
		if c == "" || c == "." || c == ".." || strings.IndexByte(c, 0) >= 0 {
			return nil, fmt.Errorf("sysctl %q is not a valid key", key)
		}
	}
	return components, nil
}

func swapSeparators(r rune) rune {
	switch r {
	case '.':
		return '/'
	case '/':
		return '.'
	}
	return r
}

// ipcSysctl reports whether a file of /proc/sys/kernel belongs to an IPC
// namespace (ipc/ipc_sysctl.c).
func ipcSysctl(name string) bool {
	switch name {
	case "msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced":
		return true
	}
	return false
}

// sysctlNamespace returns the type of namespace to which a sysctl belongs. It
// returns an error if the container may not set it. A sysctl that belongs to no
// namespace belongs to the host.
func sysctlNamespace(key string, path []string) (specs.LinuxNamespaceType, error) {
	dir, rest := path[0], path[1:]
	switch {
	case dir == "kernel" && len(rest) == 1 && ipcSysctl(rest[0]):
		return specs.IPCNamespace, nil
	case dir == "fs" && len(rest) == 2 && rest[0] == "mqueue":
		return specs.IPCNamespace, nil
	case dir == "net" && len(rest) > 0:
		return specs.NetworkNamespace, nil
	case dir == "user" && len(rest) == 1:
		return specs.UserNamespace, nil
	case dir == "kernel" && len(rest) == 1 && rest[0] == "domainname":
		return specs.UTSNamespace, nil
	case dir == "kernel" && len(rest) == 1 && rest[0] == "hostname":
		return "", fmt.Errorf("sysctl %q is not allowed as it conflicts with the OCI \"hostname\" field", key)
	}
	return "", fmt.Errorf("sysctl %q is not in a separate kernel namespace", key)
}

// hostSysctl words the error for a sysctl that would change the host's namespace.
// For two kinds of namespace the words are runc's.
func hostSysctl(key string, ns specs.LinuxNamespaceType) string {
	switch ns {
	case specs.NetworkNamespace:
		return fmt.Sprintf("sysctl %q not allowed in host network namespace", key)
	case specs.IPCNamespace:
		return fmt.Sprintf("sysctl %q is not allowed in the hosts ipc namespace", key)
	}
	return fmt.Sprintf("sysctl %q needs a namespace of type %s: it would be the host's", key, ns)
}

// sysctl checks that every key belongs to one of the container's namespaces. The
// configuration does not show whether a joined network namespace is the host's.
// The code that opens the path has to check that.
func (c *checker) sysctl(l *specs.Linux) {
	files := make(map[string]string, len(l.Sysctl))
	for key, value := range sorted(l.Sysctl) {
		path, err := SysctlPath(key)
		if err != nil {
			c.add(at("linux", "sysctl", key), "%v", err)
			continue
		}
		ns, err := sysctlNamespace(key, path)
		switch {
		case err != nil:
			c.add(at("linux", "sysctl", key), "%v", err)
		case !c.has(ns):
			c.add(at("linux", "sysctl", key), "%s", hostSysctl(key, ns))
		case ns == specs.UTSNamespace && c.spec.Domainname != "" && c.spec.Domainname != value:
			c.add(at("linux", "sysctl", key), "differs from the property domainname")
		case hasNUL(value):
			c.add(at("linux", "sysctl", key), "has a NUL character")
		}
		file := strings.Join(path, "/")
		if other, ok := files[file]; ok {
			c.add(at("linux", "sysctl", key), "is the same file as %q", other)
		}
		files[file] = key
	}
}
