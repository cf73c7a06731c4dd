package specconv

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// resources checks config-linux.md, "Control groups", as far as that does not
// depend on the host's controllers and their version.
func (c *checker) resources(r *specs.LinuxResources, tokens ...any) {
	property := func(more ...any) string { return at(slices.Concat(tokens, more)...) }
	c.deviceRules(r.Devices, property)
	if r.Memory != nil {
		c.memory(r.Memory, property)
	}
	if r.CPU != nil {
		c.cpu(r.CPU, property)
	}
	if r.Pids != nil {
		c.limit(r.Pids.Limit, property("pids", "limit"))
	}
	if r.BlockIO != nil {
		c.blockIO(r.BlockIO, property)
	}
	c.hugepages(r.HugepageLimits, property)
	if r.Network != nil {
		c.priorities(r.Network.Priorities, property)
	}
	for device, limits := range sorted(r.Rdma) {
		if limits.HcaHandles == nil && limits.HcaObjects == nil {
			c.add(property("rdma", device), "hcaHandles or hcaObjects is required")
		}
	}
	for file := range sorted(r.Unified) {
		if file == "" || strings.ContainsAny(file, "/\x00") || !strings.Contains(strings.Trim(file, "."), ".") {
			c.add(property("unified", file), "not the name of a cgroup file, CONTROLLER.PARAMETER")
		}
	}
}

// accessWarnings reports device rules whose access has an "a", which is no access
// of the specification.
func (c *checker) accessWarnings() {
	if c.spec.Linux == nil || c.spec.Linux.Resources == nil {
		return
	}
	for i, r := range c.spec.Linux.Resources.Devices {
		if strings.Contains(r.Access, "a") {
			c.add(at("linux", "resources", "devices", i, "access"), "%q is taken as %q: access is made of r, w and m", r.Access, strings.ReplaceAll(r.Access, "a", ""))
		}
	}
}

func (c *checker) deviceRules(rules []specs.LinuxDeviceCgroup, property pointer) {
	for i, r := range rules {
		if !slices.Contains([]string{"", "a", "c", "b"}, r.Type) {
			c.add(property("devices", i, "type"), "invalid cgroup device type %q: it is a, c or b", r.Type)
		}
		// Some engines write "rwa" for full access; as with runc, "a" adds nothing.
		if strings.Trim(r.Access, "a") == "" || strings.Trim(r.Access, "rwma") != "" {
			c.add(property("devices", i, "access"), "%q is not made of r, w and m", r.Access)
		}
		// Engines write -1 for "all" too.
		for name, n := range sorted(map[string]*int64{"major": r.Major, "minor": r.Minor}) {
			if n != nil && (*n < -1 || *n > 1<<32-1) {
				c.add(property("devices", i, name), "%d is not a device number", *n)
			}
		}
	}
}

// limit checks a number for which -1 means "none".
func (c *checker) limit(n *int64, pointer string) {
	if n != nil && *n < -1 {
		c.add(pointer, "%d is neither a limit nor -1", *n)
	}
}

func (c *checker) memory(m *specs.LinuxMemory, property pointer) {
	c.limit(m.Limit, property("memory", "limit"))
	c.limit(m.Reservation, property("memory", "reservation"))
	c.limit(m.Swap, property("memory", "swap"))
	c.limit(m.KernelTCP, property("memory", "kernelTCP"))
	if m.Swap != nil && m.Limit != nil && *m.Swap > 0 && *m.Swap < *m.Limit {
		c.add(property("memory", "swap"), "%d is less than the limit of %d: it counts memory and swap", *m.Swap, *m.Limit)
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		c.add(property("memory", "swappiness"), "invalid memory swappiness value: %d (valid range is 0-100)", *m.Swappiness)
	}
}

func (c *checker) cpu(cpu *specs.LinuxCPU, property pointer) {
	c.list(cpu.Cpus, property("cpu", "cpus"))
	c.list(cpu.Mems, property("cpu", "mems"))
	if cpu.Burst != nil && cpu.Quota != nil && *cpu.Quota > 0 && *cpu.Burst > uint64(*cpu.Quota) {
		c.add(property("cpu", "burst"), "%d is more than the quota of %d", *cpu.Burst, *cpu.Quota)
	}
	if cpu.Idle != nil && *cpu.Idle != 0 && *cpu.Idle != 1 {
		c.add(property("cpu", "idle"), "%d is neither 0 nor 1", *cpu.Idle)
	}
}

func (c *checker) blockIO(b *specs.LinuxBlockIO, property pointer) {
	for i, d := range b.WeightDevice {
		c.blockDevice(d.LinuxBlockIODevice, property("blockIO", "weightDevice", i))
		if d.Weight == nil && d.LeafWeight == nil {
			c.add(property("blockIO", "weightDevice", i), "weight or leafWeight is required")
		}
	}
	for _, throttle := range [...]struct {
		name    string
		devices []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range throttle.devices {
			c.blockDevice(d.LinuxBlockIODevice, property("blockIO", throttle.name, i))
		}
	}
}

func (c *checker) blockDevice(d specs.LinuxBlockIODevice, pointer string) {
	if d.Major < 0 || d.Major > maxMajor || d.Minor < 0 || d.Minor > maxMinor {
		c.add(pointer, "%d:%d is not a device number", d.Major, d.Minor)
	}
}

func (c *checker) hugepages(limits []specs.LinuxHugepageLimit, property pointer) {
	for i, l := range limits {
		same := func(other specs.LinuxHugepageLimit) bool { return other.Pagesize == l.Pagesize }
		switch {
		case !pageSize(l.Pagesize):
			c.add(property("hugepageLimits", i, "pageSize"), "%q is not a page size such as 2MB", l.Pagesize)
		case slices.ContainsFunc(limits[:i], same):
			c.add(property("hugepageLimits", i, "pageSize"), "%s is given twice", l.Pagesize)
		}
	}
}

// pageSize checks <size><unit-prefix>B, which becomes part of a file name.
func pageSize(s string) bool {
	number, ok := strings.CutSuffix(s, "B")
	if !ok || number == "" || !strings.Contains("KMG", number[len(number)-1:]) {
		return false
	}
	return numeric(number[:len(number)-1])
}

func (c *checker) priorities(ps []specs.LinuxInterfacePriority, property pointer) {
	for i, p := range ps {
		if !interfaceName(p.Name) {
			c.add(property("network", "priorities", i, "name"), "%q is not an interface name", p.Name)
		}
	}
}
