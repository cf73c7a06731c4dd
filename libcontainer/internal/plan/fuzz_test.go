package plan

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

// choices turns bytes into decisions. One changed byte changes one thing in the
// configuration. Past the end, each byte is 0.
type choices struct{ p []byte }

func (c *choices) byte() byte {
	if len(c.p) == 0 {
		return 0
	}
	b := c.p[0]
	c.p = c.p[1:]
	return b
}

func (c *choices) below(n int) int { return int(c.byte()) % n }

// one is true for one in n decisions.
func (c *choices) one(n int) bool { return c.below(n) == 1 }

func pick[T any](c *choices, list ...T) T { return list[c.below(len(list))] }

// some returns up to n results of make.
func some[T any](c *choices, n int, make func() T) []T {
	var out []T
	for range c.below(n + 1) {
		out = append(out, make())
	}
	return out
}

// subset returns some elements of a list, in order.
func subset[T any](c *choices, list []T) []T {
	var out []T
	for _, v := range list {
		if c.byte()&1 == 1 {
			out = append(out, v)
		}
	}
	return out
}

// Values for the configurations. There are few paths, so that they collide.
var (
	namespaceTypes = []specs.LinuxNamespaceType{
		specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace,
		specs.UTSNamespace, specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace,
	}
	fuzzPaths  = []string{"/dev", "/proc", "/dev/pts", "/dev/shm", "/sys/fs/cgroup", "/a", "/a/b", "/a/b/c", "/", "a/../dev/", "/a//b/../x", "/dev/console", "/sys", "/dev/null", "/dev/a/b"}
	fuzzTypes  = []string{"tmpfs", "bind", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "none", "overlay", ""}
	fuzzOpts   = []string{"ro", "rw", "nosuid", "noexec", "rro", "bind", "rbind", "remount", "tmpcopyup", "shared", "rprivate", "rslave", "unbindable", "mode=700", "size=1m", "idmap", "ridmap", "src-nofollow", "dest-nofollow", "copy-symlink", "noatime", "strictatime", "sync", "lowerdir=/x"}
	capNames   = []string{"CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_SETPCAP"}
	sysctlKeys = []string{"net.ipv4.ip_forward", "kernel.shmmax", "net/ipv4/conf/eno2.100/rp_filter", "fs.mqueue.msg_max", "kernel.domainname", "net.core.somaxconn~"}
)

func fuzzedSpec(c *choices) *specs.Spec {
	s := &specs.Spec{Version: specs.Version, Root: &specs.Root{Path: "rootfs", Readonly: c.one(2)}, Process: fuzzedProcess(c)}
	if c.one(3) {
		s.Hostname = "h"
	}
	if c.one(3) {
		s.Domainname = "d"
	}
	s.Mounts = some(c, 6, func() specs.Mount { return fuzzedMount(c) })
	if c.one(2) {
		hook := func() specs.Hook { return specs.Hook{Path: "/bin/true"} }
		s.Hooks = &specs.Hooks{
			Prestart: some(c, 2, hook), CreateRuntime: some(c, 2, hook), CreateContainer: some(c, 2, hook), //nolint:staticcheck // prestart is deprecated, but still planned
			StartContainer: some(c, 1, hook), Poststart: some(c, 1, hook), Poststop: some(c, 1, hook),
		}
	}
	if c.one(5) {
		s.Annotations = map[string]string{"run.oci.keep_original_groups": "1"}
	}
	if !c.one(16) {
		s.Linux = fuzzedLinux(c)
	}
	return s
}

func fuzzedProcess(c *choices) *specs.Process {
	p := &specs.Process{
		Args: []string{pick(c, "sh", "/bin/sh")}, Cwd: pick(c, "/", "/a/b"), Terminal: c.one(2), NoNewPrivileges: c.one(2),
		Env: subset(c, []string{"PATH=/bin", "HOME=/root", "A=b"}),
	}
	p.User = specs.User{UID: uint32(c.below(3)), GID: uint32(c.below(3)), AdditionalGids: some(c, 2, func() uint32 { return uint32(c.below(5)) })}
	if c.one(3) {
		p.User.Umask = ptr(uint32(0o77))
	}
	if c.one(4) {
		p.ConsoleSize = &specs.Box{Height: uint(c.byte()), Width: uint(c.byte())}
	}
	if !c.one(4) {
		p.Capabilities = &specs.LinuxCapabilities{
			Bounding: subset(c, capNames), Effective: subset(c, capNames), Permitted: subset(c, capNames),
			Inheritable: subset(c, capNames), Ambient: subset(c, capNames),
		}
	}
	if c.one(4) {
		p.OOMScoreAdj = ptr(c.below(10))
	}
	if c.one(4) {
		p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: uint64(c.byte()) + 1}}
	}
	if c.one(6) {
		p.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: int32(c.below(10))}
	}
	if c.one(6) {
		p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
	}
	if c.one(6) {
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: pick(c, "", "0"), Final: pick(c, "", "0-3,7")}
	}
	if c.one(5) {
		p.ApparmorProfile = "docker-default"
	}
	if c.one(5) {
		p.SelinuxLabel = "system_u:system_r:container_t:s0"
	}
	return p
}

func fuzzedMount(c *choices) specs.Mount {
	m := specs.Mount{
		Destination: pick(c, fuzzPaths...), Type: pick(c, fuzzTypes...), Source: pick(c, "tmpfs", "/srv/a", "/bundle/rootfs/etc", "rel", ""),
		Options: some(c, 3, func() string { return pick(c, fuzzOpts...) }),
	}
	if c.one(8) {
		m.UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
		m.GIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
	}
	return m
}

func fuzzedLinux(c *choices) *specs.Linux {
	l := &specs.Linux{
		CgroupsPath:       pick(c, "", "/a/b"),
		RootfsPropagation: pick(c, "", "", "shared", "rslave", "private", "unbindable"),
		MountLabel:        pick(c, "", "label"),
	}
	for _, t := range namespaceTypes {
		if c.one(4) {
			continue
		}
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: t, Path: pick(c, "", "", "", "/proc/1/ns/x")})
		if t == specs.UserNamespace {
			l.UIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 10}}
			l.GIDMappings = []specs.LinuxIDMapping{{HostID: 1000, Size: 10}}
		}
	}
	if shift := c.below(len(l.Namespaces) + 1); shift > 0 {
		l.Namespaces = append(l.Namespaces[shift:], l.Namespaces[:shift]...)
	}
	l.Devices = some(c, 3, func() specs.LinuxDevice {
		return specs.LinuxDevice{Path: pick(c, fuzzPaths...), Type: pick(c, "c", "b", "u", "p"), Major: int64(c.below(5)), Minor: 3, FileMode: pick(c, nil, ptr(os.FileMode(0o600)))}
	})
	l.MaskedPaths = some(c, 3, func() string { return "/proc/" + pick(c, "kcore", "keys") })
	l.ReadonlyPaths = some(c, 3, func() string { return "/proc/" + pick(c, "sys", "bus") })
	if keys := subset(c, sysctlKeys); len(keys) > 0 {
		l.Sysctl = map[string]string{}
		for _, k := range keys {
			l.Sysctl[k] = "1"
		}
	}
	if c.one(2) {
		withSeccompOf(c, l)
	}
	if c.one(6) {
		l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1}}
	}
	if c.one(6) {
		l.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	}
	if c.one(6) {
		l.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
	}
	return l
}

func withSeccompOf(c *choices, l *specs.Linux) {
	l.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	if c.one(3) {
		l.Seccomp.ListenerPath = "/run/listener.sock"
		l.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}
	}
}

// repair removes the parts of a configuration that Validate refuses, where that
// is easy. So few inputs are wasted. It reports whether s is valid now.
func repair(s *specs.Spec) bool {
	for range 12 {
		err := specconv.Validate(s)
		if err == nil {
			return true
		}
		for _, p := range err.(specconv.Problems) {
			fix(s, strings.Split(strings.TrimPrefix(p.Pointer, "/"), "/"))
		}
	}
	return specconv.Validate(s) == nil
}

func fix(s *specs.Spec, at []string) {
	property := at[0]
	if len(at) > 1 && property == "linux" {
		property = at[1]
	}
	switch property {
	case "hostname":
		s.Hostname = ""
	case "domainname":
		s.Domainname = ""
	case "root":
		s.Root.Readonly = false
	case "mounts":
		if len(at) == 1 {
			s.Mounts = nil
			return
		}
		var i int
		if _, err := fmt.Sscan(at[1], &i); err == nil && i < len(s.Mounts) {
			s.Mounts = append(s.Mounts[:i:i], s.Mounts[i+1:]...)
		}
	case "uidMappings", "gidMappings":
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	case "maskedPaths":
		s.Linux.MaskedPaths = nil
	case "readonlyPaths":
		s.Linux.ReadonlyPaths = nil
	case "sysctl":
		delete(s.Linux.Sysctl, strings.ReplaceAll(strings.ReplaceAll(at[len(at)-1], "~1", "/"), "~0", "~"))
	case "timeOffsets":
		s.Linux.TimeOffsets = nil
	}
}

func fuzzedHost(c *choices) Host {
	h := hosts[c.below(len(hosts))].host()
	if c.one(4) {
		h.Capabilities = uint64(c.byte())<<16 | 1<<21 | uint64(c.byte())
	}
	if c.one(6) {
		h.Cgroups = nil
	}
	return h
}

// FuzzCreate checks that every valid configuration has a plan on every host, and
// that the plan obeys the laws. It also checks the plan of one exec.
func FuzzCreate(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("\x01\x02\x00\x05", 60)))
	for i := range uint32(200) {
		f.Add(noise(i))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		c := &choices{p}
		r := request(nil, fuzzedHost(c))
		r.NoPivot, r.NoNewKeyring, r.Preserve = c.one(4), c.one(4), c.below(3)
		r.Spec = fuzzedSpec(c)
		if !repair(r.Spec) {
			t.Skip()
		}
		raw, err := json.Marshal(r.Spec)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if t.Failed() {
				t.Logf("%s", raw)
			}
		}()
		plan, err := Create(r)
		if refused(t, err) {
			return
		}
		obeys(t, &subject{plan: plan, spec: r.Spec, host: r.Host})
		process := fuzzedProcess(c)
		if specconv.ValidateProcess(r.Spec, process) != nil {
			return
		}
		further := *r.Spec
		further.Process = process
		plan, err = Exec(ExecRequest{Spec: r.Spec, Process: process, ID: r.ID, Rootfs: r.Rootfs, NoKeyring: r.NoNewKeyring, Preserve: r.Preserve, Host: r.Host})
		if !refused(t, err) {
			obeys(t, &subject{plan: plan, spec: &further, host: r.Host, exec: true})
		}
		if after, _ := json.Marshal(r.Spec); string(after) != string(raw) {
			t.Errorf("the configuration was changed: %s", after)
		}
	})
}

// refused reports whether Create refused a plan for a reason that Validate cannot
// know: security, or the caller's privileges. A valid configuration must cause no
// other error.
func refused(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	for _, reason := range []string{"/proc", "cannot be a destination", "setgroups is denied"} {
		if strings.Contains(err.Error(), reason) {
			return true
		}
	}
	t.Fatal(err)
	return true
}

// noise returns pseudo-random bytes, the same for the same seed.
func noise(seed uint32) []byte {
	p := make([]byte, 250)
	x := seed*747796405 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// Most inputs have to be valid. Otherwise the fuzzer tests nothing.
func TestFuzzedConfigurationsAreValid(t *testing.T) {
	valid, withMounts := 0, 0
	for i := range uint32(500) {
		s := fuzzedSpec(&choices{noise(i)})
		if repair(s) {
			valid++
			if len(s.Mounts) > 1 {
				withMounts++
			}
		}
	}
	if valid < 400 || withMounts < 150 {
		t.Errorf("%d of 500 are valid, %d have mounts", valid, withMounts)
	}
}
