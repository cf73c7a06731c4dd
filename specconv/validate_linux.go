package specconv

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// linux checks config-linux.md.
func (c *checker) linux(l *specs.Linux) {
	c.namespaces(l)
	c.userNamespace(l)
	c.timeOffsets(l)
	c.devices(l)
	c.netDevices(l)
	c.cgroupsPath(l)
	if l.Resources != nil {
		c.resources(l.Resources, "linux", "resources")
	}
	if l.IntelRdt != nil {
		c.intelRdt(l.IntelRdt)
	}
	if l.MemoryPolicy != nil {
		c.memoryPolicy(l.MemoryPolicy)
	}
	c.sysctl(l)
	if l.Seccomp != nil {
		c.seccomp(l.Seccomp)
	}
	c.pathLists(l)
	if _, ok := PropagationFlags(l.RootfsPropagation); !ok && l.RootfsPropagation != "" {
		c.add(at("linux", "rootfsPropagation"), "rootfsPropagation=%s is not supported", l.RootfsPropagation)
	}
	if l.Personality != nil {
		c.personality(l.Personality)
	}
}

func (c *checker) namespaces(l *specs.Linux) {
	for i, ns := range l.Namespaces {
		same := func(other specs.LinuxNamespace) bool { return other.Type == ns.Type }
		switch _, known := NamespaceFlag(ns.Type); {
		case !known:
			c.add(at("linux", "namespaces", i, "type"), "unknown namespace %q", ns.Type)
		case slices.ContainsFunc(l.Namespaces[:i], same):
			c.add(at("linux", "namespaces", i, "type"), "malformed spec file: duplicated ns {%q %q}", ns.Type, ns.Path)
		}
		if ns.Path != "" {
			c.absolute(ns.Path, []any{"linux", "namespaces", i, "path"})
		}
	}
}

// userNamespace checks the mappings. They require a user namespace, and a new
// user namespace requires them. With a joined namespace they are optional and
// describe it.
func (c *checker) userNamespace(l *specs.Linux) {
	ns := Namespace(c.spec, specs.UserNamespace)
	for _, m := range [...]struct {
		name     string
		mappings []specs.LinuxIDMapping
	}{
		{"uidMappings", l.UIDMappings},
		{"gidMappings", l.GIDMappings},
	} {
		switch {
		case ns == nil && len(m.mappings) > 0:
			c.add(at("linux", m.name), "needs a user namespace")
		case ns != nil && ns.Path == "" && len(m.mappings) == 0:
			c.add(at("linux", m.name), "user namespaces enabled, but no %s mappings found", m.name[:3])
		}
		c.mappings(m.mappings, []any{"linux", m.name})
	}
}

// maxMappings is UID_GID_MAP_MAX_EXTENTS of <linux/user_namespace.h>.
const maxMappings = 340

// mappings repeats the kernel's checks of an id map: no empty range, no range
// beyond the last id, no overlap on either side.
func (c *checker) mappings(ms []specs.LinuxIDMapping, tokens []any) {
	if len(ms) > maxMappings {
		c.add(at(tokens...), "%d entries, more than the kernel's limit of %d", len(ms), maxMappings)
		return
	}
	for i, m := range ms {
		switch {
		case m.Size == 0:
			c.add(at(append(tokens, i, "size")...), "must not be 0")
		case overflows(m.ContainerID, m.Size) || overflows(m.HostID, m.Size):
			c.add(at(append(tokens, i)...), "goes beyond the last id")
		case slices.ContainsFunc(ms[:i], func(o specs.LinuxIDMapping) bool { return overlap(m, o) }):
			c.add(at(append(tokens, i)...), "overlaps an earlier mapping")
		}
	}
}

// overflows reports whether the range would contain noID or wrap around.
func overflows(first, size uint32) bool { return uint64(first)+uint64(size) > noID }

func overlap(a, b specs.LinuxIDMapping) bool {
	return rangesOverlap(a.ContainerID, a.Size, b.ContainerID, b.Size) ||
		rangesOverlap(a.HostID, a.Size, b.HostID, b.Size)
}

func rangesOverlap(a, sizeA, b, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func (c *checker) timeOffsets(l *specs.Linux) {
	ns := Namespace(c.spec, specs.TimeNamespace)
	switch {
	case len(l.TimeOffsets) == 0:
	case ns == nil:
		c.add(at("linux", "timeOffsets"), "time namespace offsets specified, but time namespace isn't enabled in the config")
	case ns.Path != "":
		c.add(at("linux", "timeOffsets"), "cannot be changed in a time namespace that is joined")
	}
	for clock, offset := range sorted(l.TimeOffsets) {
		if clock != "monotonic" && clock != "boottime" {
			c.add(at("linux", "timeOffsets", clock), "unknown clock")
		}
		if offset.Nanosecs >= 1e9 {
			c.add(at("linux", "timeOffsets", clock, "nanosecs"), "%d is a second or more", offset.Nanosecs)
		}
	}
}

// The kernel's dev_t has 12 bits of major and 20 bits of minor number.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

func (c *checker) devices(l *specs.Linux) {
	for i, d := range l.Devices {
		tokens := []any{"linux", "devices", i}
		c.absolute(d.Path, append(tokens, "path"))
		switch d.Type {
		case "c", "b", "u":
			if d.Major < 0 || d.Major > maxMajor || d.Minor < 0 || d.Minor > maxMinor {
				c.add(at(tokens...), "%d:%d is not a device number", d.Major, d.Minor)
			}
		case "p":
		default:
			c.add(at(append(tokens, "type")...), "invalid device type %q: it is c, b, u or p", d.Type)
		}
		if d.UID != nil {
			c.id(*d.UID, append(tokens, "uid")...)
		}
		if d.GID != nil {
			c.id(*d.GID, append(tokens, "gid")...)
		}
	}
}

func (c *checker) netDevices(l *specs.Linux) {
	if len(l.NetDevices) > 0 && !c.has(specs.NetworkNamespace) {
		c.add(at("linux", "netDevices"), "unable to move network devices without a NET namespace")
	}
	inside := map[string]string{}
	for host, d := range sorted(l.NetDevices) {
		name := d.Name
		if name == "" {
			name = host
		}
		if !interfaceName(host) {
			c.add(at("linux", "netDevices", host), "%q is not an interface name", host)
		}
		stem, template := strings.CutSuffix(d.Name, "%d") // the kernel replaces %d by a number
		if d.Name != "" && !interfaceName(stem) {
			c.add(at("linux", "netDevices", host, "name"), "%q is not an interface name", d.Name)
		}
		if other, taken := inside[name]; taken && !template {
			c.add(at("linux", "netDevices", host, "name"), "%q is the name of %q already", name, other)
		}
		inside[name] = host
	}
}

// interfaceName follows dev_valid_name of net/core/dev.c. It also refuses "%",
// which makes a name a template.
func interfaceName(s string) bool {
	return s != "" && len(s) < 16 && s != "." && s != ".." && !strings.ContainsAny(s, "/: \t\n\v\f\r%\x00")
}

// cgroupsPath refuses a path that could lead elsewhere, for both drivers.
func (c *checker) cgroupsPath(l *specs.Linux) {
	switch p := l.CgroupsPath; {
	case slices.Contains(strings.Split(p, "/"), ".."):
		c.add(at("linux", "cgroupsPath"), "%q has a \"..\" component", p)
	case strings.ContainsAny(p, "\x00\n"):
		c.add(at("linux", "cgroupsPath"), "has a NUL or newline character")
	}
}

func (c *checker) intelRdt(r *specs.LinuxIntelRdt) {
	// "/" alone is the root of the resctrl file system.
	if id := r.ClosID; id == "." || id == ".." || id != "/" && strings.ContainsAny(id, "/\n\x00") {
		c.add(at("linux", "intelRdt", "closID"), "%q is not the name of a directory", id)
	}
	if strings.Contains(r.L3CacheSchema, "\n") {
		c.add(at("linux", "intelRdt", "l3CacheSchema"), "has a newline")
	}
	switch {
	case strings.Contains(r.MemBwSchema, "\n"):
		c.add(at("linux", "intelRdt", "memBwSchema"), "has a newline")
	case r.MemBwSchema != "" && !strings.HasPrefix(r.MemBwSchema, "MB:"):
		c.add(at("linux", "intelRdt", "memBwSchema"), "does not start with \"MB:\"")
	}
	for i, line := range r.Schemata {
		if strings.Contains(line, "\n") {
			c.add(at("linux", "intelRdt", "schemata", i), "has a newline")
		}
	}
}

// memoryPolicy follows set_mempolicy(2).
func (c *checker) memoryPolicy(p *specs.LinuxMemoryPolicy) {
	if _, ok := MemoryPolicyMode(p.Mode); !ok {
		c.add(at("linux", "memoryPolicy", "mode"), "invalid memory policy mode %q", p.Mode)
	}
	nodes, err := ParseList(p.Nodes)
	if err != nil && p.Nodes != "" {
		c.add(at("linux", "memoryPolicy", "nodes"), "invalid memory policy nodes %q: %v", p.Nodes, err)
	}
	switch p.Mode {
	case specs.MpolDefault, specs.MpolLocal:
		if p.Nodes != "" {
			c.add(at("linux", "memoryPolicy", "nodes"), "memory policy mode requires 0 nodes but got %d", len(nodes))
		}
	case specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave, specs.MpolPreferredMany:
		if p.Nodes == "" {
			c.add(at("linux", "memoryPolicy", "nodes"), "required with %s", p.Mode)
		}
	}
	for i, f := range p.Flags {
		if _, ok := MemoryPolicyFlag(f); !ok {
			c.add(at("linux", "memoryPolicy", "flags", i), "invalid memory policy flag %q", f)
		}
	}
	if slices.Contains(p.Flags, specs.MpolFStaticNodes) && slices.Contains(p.Flags, specs.MpolFRelativeNodes) {
		c.add(at("linux", "memoryPolicy", "flags"), "nodes cannot be both static and relative")
	}
}

func (c *checker) pathLists(l *specs.Linux) {
	for _, list := range [...]struct {
		name  string
		paths []string
	}{
		{"maskedPaths", l.MaskedPaths},
		{"readonlyPaths", l.ReadonlyPaths},
	} {
		if len(list.paths) > 0 && !c.has(specs.MountNamespace) {
			c.add(at("linux", list.name), "needs a mount namespace")
		}
		for i, p := range list.paths {
			if !path.IsAbs(p) || hasNUL(p) {
				c.absolute(p, []any{"linux", list.name, i})
			}
		}
	}
}

func (c *checker) personality(p *specs.LinuxPersonality) {
	if _, ok := PersonalityDomain(p.Domain); !ok {
		c.add(at("linux", "personality", "domain"), "invalid personality domain %s", p.Domain)
	}
	if len(p.Flags) > 0 {
		c.add(at("linux", "personality", "flags"), "no flags are supported")
	}
}
