package libcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/netdev"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

// The functions below check one subject of the host each. They only read /proc, /sys
// and the host's files that the configuration names.

func (in *inspection) host() {
	in.kernel()
	in.hookFiles()
	if in.spec.Process != nil {
		for field, said := range longStrings(in.spec.Process) {
			in.add(field, "%s", said)
		}
		in.rlimits(in.spec.Process)
		in.oomScore(in.spec.Process)
		in.appArmor(in.spec.Process.ApparmorProfile)
	}
	in.sources()
	if in.spec.Linux == nil {
		return
	}
	in.namespaces()
	in.idMaps()
	in.controllers()
	in.bandwidth()
	in.profile()
	in.sysctls()
	in.netDevices()
	in.memoryNodes()
}

func (in *inspection) read(path string) (string, error) {
	data, err := os.ReadFile(filepath.Join(in.root, path))
	return strings.TrimSpace(string(data)), err
}

// oldestKernel is the oldest version with all features that onggi uses without a
// probe: openat2, the new mount API, and mount_setattr with id-mapped mounts.
var oldestKernel = [2]int{5, 14}

func (in *inspection) kernel() {
	release, err := in.read("proc/sys/kernel/osrelease")
	if err != nil {
		return
	}
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return
	}
	if slices.Compare([]int{major, minor}, oldestKernel[:]) < 0 {
		in.add("", "the kernel is %s, and onggi requires %d.%d or later", release, oldestKernel[0], oldestKernel[1])
	}
}

// hookFiles checks the programs of hooks. It skips startContainer hooks, because
// their programs are in the container.
func (in *inspection) hookFiles() {
	for _, list := range specconv.HookLists(in.spec.Hooks) {
		if list.Kind == "startContainer" {
			continue
		}
		for i, h := range list.Hooks {
			if filepath.IsAbs(h.Path) {
				if err := in.access(h.Path, unix.X_OK); err != nil {
					in.add(fmt.Sprintf("/hooks/%s/%d/path", list.Kind, i), "%q cannot be executed: %v", h.Path, err)
				}
			}
		}
	}
}

// lookTime bounds the access to one file, because its file system may not answer.
const lookTime = 5 * time.Second

func (in *inspection) access(path string, mode uint32) error {
	return engine.Access(in.ctx, path, mode, lookTime)
}

func (in *inspection) rlimits(p *specs.Process) {
	if capabilities()&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return
	}
	for i, l := range p.Rlimits {
		n, ok := specconv.RlimitResource(l.Type)
		var own unix.Rlimit
		if ok && unix.Getrlimit(n, &own) == nil && l.Hard > own.Max {
			in.add(fmt.Sprintf("/process/rlimits/%d/hard", i), "%d is above the runtime's own %d, and raising %s requires CAP_SYS_RESOURCE, which it does not have", l.Hard, own.Max, l.Type)
		}
	}
}

func (in *inspection) oomScore(p *specs.Process) {
	own, err := in.read("proc/self/oom_score_adj")
	if err != nil || p.OOMScoreAdj == nil || capabilities()&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return
	}
	if n, err := strconv.Atoi(own); err == nil && *p.OOMScoreAdj < n {
		in.add("/process/oomScoreAdj", "%d is below the runtime's own %d, and lowering it requires CAP_SYS_RESOURCE, which it does not have", *p.OOMScoreAdj, n)
	}
}

// appArmor checks that the profile is loaded. securityfs lists the loaded profiles, each
// with its mode in parentheses. appArmor does not check stacked profiles and profiles of
// other namespaces.
func (in *inspection) appArmor(profile string) {
	list, err := in.read("sys/kernel/security/apparmor/profiles")
	if err != nil || profile == "" || profile == "unconfined" || strings.HasPrefix(profile, ":") || strings.Contains(profile, "//&") {
		return
	}
	for line := range strings.Lines(list) {
		if i := strings.LastIndex(line, " ("); i >= 0 && line[:i] == profile {
			return
		}
	}
	in.add("/process/apparmorProfile", "no profile %q is loaded: see apparmor_parser(8)", profile)
}

// sources checks the sources of bind mounts and the types of file systems.
func (in *inspection) sources() {
	known, err := in.read("proc/filesystems")
	for i, m := range in.spec.Mounts {
		field := fmt.Sprintf("/mounts/%d", i)
		o, parseErr := specconv.ParseMountOptions(m.Type, m.Options)
		switch {
		case parseErr != nil || o.Remount:
		case o.Bind && m.Source != "":
			in.source(field, m.Source)
		case err == nil && !o.Bind && m.Type != "" && m.Type != "cgroup" && !slices.Contains(strings.Fields(known), m.Type):
			in.doubt(field+"/type", "the kernel does not have the file system %q now; it may be a module", m.Type)
		}
	}
}

// source checks one source. It skips a source in the root file system, which may exist
// only after other mounts.
func (in *inspection) source(field, source string) {
	if !filepath.IsAbs(source) {
		source = filepath.Join(in.bundle, source)
	}
	if in.rootfs != "" && strings.HasPrefix(filepath.Clean(source)+"/", in.rootfs+"/") {
		return
	}
	if err := in.access(source, unix.F_OK); err != nil {
		in.add(field+"/source", "%q: %v", source, err)
	}
}

// nsFile returns the name of a namespace type in /proc/PID/ns.
func nsFile(t specs.LinuxNamespaceType) string {
	switch t {
	case specs.NetworkNamespace:
		return "net"
	case specs.MountNamespace:
		return "mnt"
	}
	return string(t)
}

func (in *inspection) namespaces() {
	for i, n := range in.spec.Linux.Namespaces {
		flag, known := specconv.NamespaceFlag(n.Type)
		if !known {
			continue
		}
		field := fmt.Sprintf("/linux/namespaces/%d", i)
		if _, err := os.Stat(filepath.Join(in.root, "proc/self/ns", nsFile(n.Type))); err != nil {
			in.add(field, "the kernel has no %s namespaces", n.Type)
			continue
		}
		if n.Path != "" {
			in.joined(field+"/path", n, int(flag))
			continue
		}
		if limit, err := in.read("proc/sys/user/max_" + nsFile(n.Type) + "_namespaces"); err == nil && limit == "0" {
			in.add(field, "the host allows no new %s namespaces: /proc/sys/user/max_%s_namespaces is 0", n.Type, nsFile(n.Type))
		}
		if n.Type == specs.UserNamespace && in.rootless {
			in.unprivilegedUserns(field)
		}
	}
}

// joined checks that the path leads to a namespace of the expected type.
func (in *inspection) joined(field string, n specs.LinuxNamespace, flag int) {
	fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		in.add(field, "%q: %v", n.Path, err)
		return
	}
	defer unix.Close(fd)
	got, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	switch {
	case err != nil:
		in.add(field, "%q is not a namespace", n.Path)
	case got != flag:
		in.add(field, "%q is not a %s namespace", n.Path, n.Type)
	}
}

// unprivilegedUserns checks two parameters by which distributions forbid user namespaces
// to ordinary users. The method namespaces checks a third one, max_user_namespaces.
func (in *inspection) unprivilegedUserns(field string) {
	for _, s := range []struct{ file, forbids string }{
		{"kernel/unprivileged_userns_clone", "0"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1"},
	} {
		if v, err := in.read("proc/sys/" + s.file); err == nil && v == s.forbids {
			in.add(field, "ordinary users may not make user namespaces here: /proc/sys/%s is %s", s.file, v)
		}
	}
}

// idMaps checks that newuidmap and newgidmap are installed. An ordinary user needs them to
// map ids other than its own.
func (in *inspection) idMaps() {
	l := in.spec.Linux
	if os.Geteuid() == 0 || len(l.UIDMappings) == 0 || ownOnly(l.UIDMappings, os.Geteuid()) && ownOnly(l.GIDMappings, os.Getegid()) {
		return
	}
	for field, program := range map[string]string{"/linux/uidMappings": "newuidmap", "/linux/gidMappings": "newgidmap"} {
		if _, err := exec.LookPath(program); err != nil {
			in.add(field, "an ordinary user maps other ids by %s, which is not installed", program)
		}
	}
}

func (in *inspection) controllers() {
	for _, err := range in.paths.Lacks(in.resources(), in.warning) {
		field, rest := cgroup.SplitField(err)
		in.add(cmp.Or(field, "/linux/resources"), "%v", rest)
	}
}

// bandwidth makes the kernel verify the program, and discards it.
func (in *inspection) bandwidth() {
	for _, name := range []string{specconv.NetworkEgress, specconv.NetworkIngress} {
		if _, ok := in.spec.Annotations[name]; !ok || in.paths.CheckBandwidth() != nil {
			continue // the plan has reported it
		}
		if err := in.paths.ProbeBandwidth(); err != nil {
			in.add("/annotations/"+name, "%v", err)
		}
	}
}

// profile compiles the seccomp profile, and discards the result.
func (in *inspection) profile() {
	if in.spec.Linux.Seccomp == nil {
		return
	}
	f, err := seccomp.Compile(in.ctx, in.spec.Linux.Seccomp)
	if err != nil {
		in.add("", "%s", err)
		return
	}
	if err := checkUnknown(in.spec, f); err != nil {
		in.note(err)
	} else if len(f.Unknown) > 0 {
		in.doubt("/linux/seccomp/syscalls", "libseccomp does not know %s: no rules for them", strings.Join(f.Unknown, ", "))
	}
}

// sysctls checks that the parameters exist. It skips parameters of network devices,
// because the container may get the device later.
func (in *inspection) sysctls() {
	for _, key := range slices.Sorted(maps.Keys(in.spec.Linux.Sysctl)) {
		path, err := specconv.SysctlPath(key)
		if err != nil || path[0] == "net" && slices.ContainsFunc(path, func(p string) bool { return p == "conf" || p == "neigh" }) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(in.root, "proc/sys", filepath.Join(path...))); errors.Is(err, os.ErrNotExist) {
			in.add("/linux/sysctl/"+strings.ReplaceAll(key, "/", "~1"), "this kernel has no such parameter")
		}
	}
}

func (in *inspection) netDevices() {
	for _, name := range slices.Sorted(maps.Keys(in.spec.Linux.NetDevices)) {
		if _, err := netdev.Find(name); err != nil {
			in.add("/linux/netDevices/"+name, "%v", err)
		}
	}
}

// memoryNodes checks that the memory nodes exist. The kernel refuses a policy for missing
// nodes.
func (in *inspection) memoryNodes() {
	p := in.spec.Linux.MemoryPolicy
	if p == nil || p.Nodes == "" {
		return
	}
	online, err := in.read("sys/devices/system/node/online")
	if err != nil {
		in.add("/linux/memoryPolicy", "the kernel has no NUMA support")
		return
	}
	have, err := specconv.ParseList(online)
	want, wantErr := specconv.ParseList(p.Nodes)
	if err != nil || wantErr != nil {
		return
	}
	for _, r := range want {
		for n := r.First; n <= r.Last; n++ {
			if !slices.ContainsFunc(have, func(h specconv.Range) bool { return h.First <= n && n <= h.Last }) {
				in.add("/linux/memoryPolicy/nodes", "this host has no memory node %d (only %s)", n, online)
				return
			}
		}
	}
}
