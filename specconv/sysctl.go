package specconv

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SysctlPath splits a sysctl key into the components of its path below
// /proc/sys. As in sysctl(8), the first separator of the key decides: "." in
// net.ipv4.conf.eno2/100.rp_filter, where "/" then stands for a dot in a name,
// or "/" in net/ipv4/conf/eno2.100/rp_filter, which is the same file.
//
// No component is empty, "." or "..", so what is checked is what is opened:
// net/../kernel/panic has no path. The opener still has to stay beneath
// /proc/sys and follow no symlink.
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

// ipcSysctl tells the files of /proc/sys/kernel that belong to an IPC namespace
// (ipc/ipc_sysctl.c).
func ipcSysctl(name string) bool {
	switch name {
	case "msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced":
		return true
	}
	return false
}

// sysctlNamespace gives the type of namespace a sysctl belongs to, or why the
// container may not set it. Whatever is not in a namespace is the host's.
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

// hostSysctl says that a sysctl would be set in the host's namespace. The words for two of them are runc's.
func hostSysctl(key string, ns specs.LinuxNamespaceType) string {
	switch ns {
	case specs.NetworkNamespace:
		return fmt.Sprintf("sysctl %q not allowed in host network namespace", key)
	case specs.IPCNamespace:
		return fmt.Sprintf("sysctl %q is not allowed in the hosts ipc namespace", key)
	}
	return fmt.Sprintf("sysctl %q needs a namespace of type %s: it would be the host's", key, ns)
}

// sysctl checks that every key belongs to a namespace of the container's own.
// Whether a joined network namespace is the host's after all cannot be seen
// from the configuration; whoever opens the path has to look.
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
