package plan

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// go test -update writes the golden files. Review their diff.
var update = flag.Bool("update", false, "write the golden files")

// section is one plan in a golden file, under a line "-- name --".
type section struct{ name, text string }

func golden(t *testing.T, file string, sections []section) {
	t.Helper()
	var b strings.Builder
	for _, s := range sections {
		b.WriteString("-- " + s.name + " --\n" + s.text)
	}
	file = filepath.Join("testdata", file+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("%s: %s\n(go test -update accepts it)", file, firstDifference(got, string(want)))
	}
}

// changes returns the difference from base to p: added lines (+) and removed
// lines (-). Each group follows the common line before it.
func changes(base, p *Plan) string {
	a, b := lines(base), lines(p)
	common := longestCommon(a, b)
	var out strings.Builder
	quiet := true // no change has been written since the last common line
	last := ""
	write := func(sign, line string) {
		if quiet && last != "" {
			out.WriteString("  " + last + "\n")
		}
		quiet = false
		out.WriteString(sign + " " + line + "\n")
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j] && common[i][j] == common[i+1][j+1]+1:
			last, quiet = a[i], true
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			write("-", a[i])
			i++
		default:
			write("+", b[j])
			j++
		}
	}
	return out.String()
}

// lines returns the printed steps without their numbers.
func lines(p *Plan) []string {
	var out []string
	for _, it := range p.Items {
		out = append(out, strings.TrimRight(fmt.Sprintf("%-9s  %-95s  %s", it.Step.Side(), it.Step, it.Field), " "))
	}
	return out
}

// longestCommon computes, at [i][j], the length of the longest common
// subsequence of a[i:] and b[j:].
func longestCommon(a, b []string) [][]int {
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			n[i][j] = max(n[i+1][j], n[i][j+1])
			if a[i] == b[j] {
				n[i][j] = n[i+1][j+1] + 1
			}
		}
	}
	return n
}

// firstDifference shows the first line that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	place := ""
	for i := range max(len(g), len(w)) {
		line := func(s []string) string {
			if i < len(s) {
				return s[i]
			}
			return "(nothing)"
		}
		if strings.HasPrefix(line(w), "-- ") {
			place = line(w)
		}
		if line(g) != line(w) {
			return place + "\n got  " + line(g) + "\n want " + line(w)
		}
	}
	return "equal"
}

// allCaps are the capabilities of root in the initial user namespace.
const allCaps = 1<<(unix.CAP_LAST_CAP+1) - 1

// The plans are made for three hosts.

func hostHybrid() Host {
	h := Host{Capabilities: allCaps, Unified: true}
	for _, c := range []CgroupMount{
		{Name: "systemd", Options: "none,name=systemd"},
		{Name: "cpu,cpuacct", Links: []string{"cpu", "cpuacct"}, Options: "cpu,cpuacct"},
		{Name: "memory", Options: "memory"},
		{Name: "unified", V2: true},
	} {
		c.Path = "/sys/fs/cgroup/" + c.Name + "/c1"
		h.Cgroups = append(h.Cgroups, c)
		if !c.V2 {
			h.CgroupTasks = append(h.CgroupTasks, c.Path+"/tasks")
		}
	}
	return h
}

func hostV2() Host {
	return Host{Capabilities: allCaps, Unified: true, Cgroups: []CgroupMount{{V2: true, Path: "/sys/fs/cgroup/c1", Root: "/sys/fs/cgroup"}}}
}

// hostRootless is the host of a user in a user namespace, as in podman unshare.
func hostRootless() Host {
	h := hostV2()
	h.Rootless, h.InUserns, h.KeepGroups = true, true, true
	return h
}

var hosts = []struct {
	name string
	host func() Host
	// change adapts a configuration to the host.
	change func(*specs.Spec)
}{
	{"v1 and hybrid, root", hostHybrid, func(*specs.Spec) {}},
	{"v2, root", hostV2, func(*specs.Spec) {}},
	{"v2, rootless", hostRootless, func(s *specs.Spec) {
		specconv.Rootless(s, 1000, 1000)
		s.Process.User, s.Linux.Sysctl = specs.User{}, nil // the container uses the host's network
	}},
}

// bundles is the directory of configurations that engines wrote.
const bundles = "../../../tests/testdata/bundles"

func readBundle(t testing.TB, name string) *specs.Spec {
	t.Helper()
	c, err := specconv.Load(filepath.Join(bundles, name, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Spec
}

func bundleNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(bundles, "*", "config.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no bundles: %v", err)
	}
	var out []string
	for _, f := range files {
		out = append(out, filepath.Base(filepath.Dir(f)))
	}
	return out
}

func request(s *specs.Spec, h Host) Request {
	return Request{Spec: s, ID: "c1", Bundle: "/bundle", Rootfs: "/bundle/rootfs", Host: h}
}

// create plans a valid configuration and checks the plan against the laws.
func create(t testing.TB, r Request) *Plan {
	t.Helper()
	if err := specconv.Validate(r.Spec); err != nil {
		t.Fatalf("the configuration is not valid: %v", err)
	}
	p, err := Create(r)
	if err != nil {
		t.Fatal(err)
	}
	obeys(t, &subject{plan: p, spec: r.Spec, host: r.Host})
	return p
}

func exec(t testing.TB, r ExecRequest) *Plan {
	t.Helper()
	if err := specconv.ValidateProcess(r.Spec, r.Process); err != nil {
		t.Fatalf("the process is not valid: %v", err)
	}
	p, err := Exec(r)
	if err != nil {
		t.Fatal(err)
	}
	s := *r.Spec
	s.Process = r.Process
	obeys(t, &subject{plan: p, spec: &s, host: r.Host, exec: true})
	return p
}

// Configurations of real engines, on three hosts, with one exec each. The golden
// file contains the plan for the first host and the differences of the others.
func TestPlansOfRealConfigurations(t *testing.T) {
	for _, name := range bundleNames(t) {
		t.Run(name, func(t *testing.T) {
			var creates, execs []section
			var base, baseExec *Plan
			for _, h := range hosts {
				s := readBundle(t, name)
				h.change(s)
				p := create(t, request(s, h.host()))
				e := exec(t, ExecRequest{Spec: s, Process: s.Process, ID: "c1", Rootfs: "/bundle/rootfs", Host: h.host()})
				if base == nil {
					base, baseExec = p, e
					creates = append(creates, section{"create, " + h.name, p.String()})
					execs = append(execs, section{"exec, " + h.name, e.String()})
					continue
				}
				creates = append(creates, section{"create, " + h.name, changes(base, p)})
				execs = append(execs, section{"exec, " + h.name, changes(baseExec, e)})
			}
			golden(t, name, append(creates, execs...))
		})
	}
}

// variant is a change to the example configuration.
type variant struct {
	name    string
	spec    func(*specs.Spec)
	request func(*Request)
}

func withNamespace(types ...specs.LinuxNamespaceType) func(*specs.Spec) {
	return func(s *specs.Spec) {
		for _, t := range types {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: t})
		}
		for _, t := range types {
			if t == specs.UserNamespace {
				s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
				s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 200000, Size: 65536}}
			}
		}
	}
}

// joining gives a namespace a path, so that the container joins it.
func joining(typ specs.LinuxNamespaceType) func(*specs.Spec) {
	return func(s *specs.Spec) {
		for i := range s.Linux.Namespaces {
			if n := &s.Linux.Namespaces[i]; n.Type == typ {
				n.Path = "/proc/4711/ns/" + string(typ)
			}
		}
	}
}

func all(changes ...func(*specs.Spec)) func(*specs.Spec) {
	return func(s *specs.Spec) {
		for _, c := range changes {
			c(s)
		}
	}
}

func withSeccomp(nnp bool, listener string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Process.NoNewPrivileges = nnp
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: listener}
		if listener != "" {
			s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}
		}
	}
}

func withMount(m ...specs.Mount) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m...) }
}

func ptr[T any](v T) *T { return &v }

// createVariants has one variant for each field that changes the shape of a plan.
var createVariants = []variant{
	{name: "as onggi spec writes it"},
	{name: "user namespace", spec: withNamespace(specs.UserNamespace)},
	{name: "user namespace, joined", spec: all(withNamespace(specs.UserNamespace), joining(specs.UserNamespace), joining(specs.NetworkNamespace))},
	{name: "pid namespace, joined", spec: joining(specs.PIDNamespace)},
	{name: "pid namespace, joined, with seccomp", spec: all(joining(specs.PIDNamespace), withSeccomp(false, ""))},
	{name: "mount namespace, joined", spec: joining(specs.MountNamespace)},
	{name: "time namespace", spec: all(withNamespace(specs.TimeNamespace), func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 3600}, "boottime": {Secs: -1, Nanosecs: 5}}
	})},
	{name: "no namespace at all", spec: func(s *specs.Spec) {
		s.Linux, s.Mounts, s.Hostname, s.Root.Readonly = &specs.Linux{}, nil, "", false
	}},
	{name: "seccomp with no_new_privs", spec: withSeccomp(true, "")},
	{name: "seccomp without no_new_privs", spec: withSeccomp(false, "")},
	{name: "seccomp with a listener", spec: withSeccomp(true, "/run/listener.sock")},
	{name: "no terminal", spec: func(s *specs.Spec) { s.Process.Terminal = false }},
	{name: "terminal with a size", spec: func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Height: 24, Width: 80} }},
	{name: "writable root", spec: func(s *specs.Spec) { s.Root.Readonly = false }},
	{name: "read-only tmpfs with a mount in it", spec: withMount(
		specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "size=1m"}},
		specs.Mount{Destination: "/data/volume", Type: "bind", Source: "/srv/volume", Options: []string{"rbind"}})},
	{name: "read-only in other ways", spec: withMount(
		specs.Mount{Destination: "/tree", Type: "tmpfs", Source: "tmpfs", Options: []string{"rro"}},
		specs.Mount{Destination: "/tree/volume", Type: "bind", Source: "/srv/volume"},
		specs.Mount{Destination: "/taken-back", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/taken-back", Type: "tmpfs", Options: []string{"remount", "rw"}},
		specs.Mount{Destination: "/covered", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/covered", Type: "bind", Source: "/srv/volume"},
		specs.Mount{Destination: "/now", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: "/now", Type: "tmpfs", Options: []string{"remount", "ro", "size=1m"}})},
	{name: "a root that is among the read-only paths", spec: func(s *specs.Spec) {
		s.Root.Readonly, s.Process.Cwd = false, "/work"
		s.Linux.ReadonlyPaths = []string{"/etc", "/"}
	}},
	{name: "a bind mount that calls itself a cgroup", spec: withMount(specs.Mount{Destination: "/cg", Type: "cgroup", Source: "/srv/cg", Options: []string{"bind"}})},
	{name: "cgroup namespace", spec: withNamespace(specs.CgroupNamespace)},
	{name: "no cgroups", request: func(r *Request) { r.Host.Cgroups, r.Host.CgroupTasks, r.Host.Unified = nil, nil, false }},
	{name: "hooks", spec: func(s *specs.Spec) {
		list := []specs.Hook{{Path: "/bin/true"}}
		s.Hooks = &specs.Hooks{Prestart: list, CreateRuntime: list, CreateContainer: list, StartContainer: list, Poststart: list, Poststop: list} //nolint:staticcheck // all six kinds
	}},
	{name: "sysctls", spec: func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096", "net/ipv4/conf/eno2.100/rp_filter": "2"}
	}},
	{name: "devices", spec: func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: ptr(os.FileMode(0o660)), UID: ptr(uint32(1)), GID: ptr(uint32(2))},
			{Path: "/dev/null", Type: "u", Major: 1, Minor: 3},
			{Path: "/srv/pipe", Type: "p"},
			{Path: "/dev/disk/sda", Type: "b", Major: 8},
		}
	}},
	{name: "devices in a user namespace", spec: all(withNamespace(specs.UserNamespace), func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/dev/pipe", Type: "p"}}
	})},
	{name: "the host's /dev", spec: func(s *specs.Spec) {
		s.Mounts[1] = specs.Mount{Destination: "/dev/", Type: "bind", Source: "/dev", Options: []string{"rbind"}}
	}},
	{name: "binds", spec: withMount(
		specs.Mount{Destination: "/a", Source: "a", Options: []string{"bind", "ro"}},
		specs.Mount{Destination: "/b", Type: "none", Source: "/bundle/rootfs/etc", Options: []string{"rbind", "rro", "shared"}},
		specs.Mount{Destination: "/c", Type: "bind", Source: "/bundle/rootfs2", Options: []string{"src-nofollow", "dest-nofollow"}},
		specs.Mount{Destination: "/d", Type: "bind", Source: "/etc/localtime", Options: []string{"copy-symlink"}},
		specs.Mount{Destination: "/e", Type: "bind", Source: "/srv/e", UIDMappings: []specs.LinuxIDMapping{{HostID: 7, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 8, Size: 1}}, Options: []string{"ridmap"}},
		specs.Mount{Destination: "/a", Options: []string{"remount", "rw", "noexec"}})},
	{name: "shared root", spec: all(withMount(specs.Mount{Destination: "/a", Type: "bind", Source: "/a"}), func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" })},
	{name: "private root", spec: all(withMount(specs.Mount{Destination: "/a", Type: "bind", Source: "/a"}), func(s *specs.Spec) { s.Linux.RootfsPropagation = "private" })},
	{name: "tmpcopyup", spec: withMount(
		specs.Mount{Destination: "/etc", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}},
		specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: "/srv/hosts"})},
	{name: "a mount over others", spec: withMount(
		specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=700"}},
		specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"},
		specs.Mount{Destination: "/dev", Type: "bind", Source: "/srv/dev"},
		specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"})},
	{name: "all that a process can ask for", spec: func(s *specs.Spec) {
		p := s.Process
		p.User = specs.User{UID: 1, GID: 2, Umask: ptr(uint32(0o77)), AdditionalGids: []uint32{3, 4}}
		p.Env = append(p.Env, "HOME=/root")
		p.ApparmorProfile, p.SelinuxLabel = "docker-default", "system_u:system_r:container_t:s0"
		p.OOMScoreAdj = ptr(-500)
		p.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 10}
		p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
		p.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0-1"}
		p.Capabilities.Ambient, p.Capabilities.Inheritable = []string{"CAP_KILL", "CAP_CHOWN"}, []string{"CAP_KILL"}
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Linux.MountLabel = "system_u:object_r:container_file_t:s0"
		s.Domainname = "example.org"
	}},
	{name: "no capabilities given, root", spec: func(s *specs.Spec) { s.Process.Capabilities = nil }},
	{name: "no capabilities given, a user", spec: func(s *specs.Spec) { s.Process.Capabilities, s.Process.User.UID = nil, 5 }},
	{name: "few capabilities to give", request: func(r *Request) { r.Host.Capabilities = 1 << unix.CAP_KILL }},
	{name: "groups kept", spec: func(s *specs.Spec) { s.Annotations = map[string]string{"run.oci.keep_original_groups": "1"} }},
	{name: "no pivot, no keyring, descriptors", request: func(r *Request) { r.NoPivot, r.NoNewKeyring, r.Preserve = true, true, 2 }},
}

func TestCreateVariants(t *testing.T) {
	golden(t, "create", sections(t, createVariants, func(t *testing.T, s *specs.Spec, change func(*Request)) *Plan {
		r := request(s, hostV2())
		if change != nil {
			change(&r)
		}
		return create(t, r)
	}))
}

// The three cgroup layouts differ in the cgroup mount.
func TestCgroupMounts(t *testing.T) {
	var out []section
	for _, h := range hosts {
		for _, fresh := range []bool{false, true} {
			s := specconv.Example()
			name := h.name
			if fresh {
				withNamespace(specs.CgroupNamespace)(s)
				name += ", cgroup namespace"
			}
			h.change(s)
			var kept Plan
			for _, it := range create(t, request(s, h.host())).Items {
				if it.Field == "/mounts/6" || Name(it.Step) == "JoinCgroups" || Name(it.Step) == "Spawn" {
					kept.Items = append(kept.Items, it)
				}
			}
			out = append(out, section{name, kept.String()})
		}
	}
	golden(t, "cgroups", out)
}

var execVariants = []variant{
	{name: "as onggi spec writes it"},
	{name: "user namespace", spec: withNamespace(specs.UserNamespace)},
	{name: "no pid namespace", spec: func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[1:] }},
	{name: "no mount namespace", spec: func(s *specs.Spec) {
		s.Linux, s.Mounts, s.Root.Readonly = &specs.Linux{Namespaces: s.Linux.Namespaces[:4]}, nil, false
	}},
	{name: "no namespace at all", spec: func(s *specs.Spec) {
		s.Linux, s.Mounts, s.Hostname, s.Root.Readonly = &specs.Linux{}, nil, "", false
	}},
	{name: "seccomp with no_new_privs", spec: withSeccomp(true, "")},
	{name: "seccomp without no_new_privs", spec: withSeccomp(false, "")},
	{name: "seccomp with a listener", spec: withSeccomp(true, "/run/listener.sock")},
	{name: "no terminal", spec: func(s *specs.Spec) { s.Process.Terminal = false }},
	{name: "affinity", spec: func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "0", Final: "0-1"} }},
	{name: "labels and personality", spec: func(s *specs.Spec) {
		s.Process.ApparmorProfile, s.Process.SelinuxLabel = "docker-default", "system_u:system_r:container_t:s0"
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolInterleave, Nodes: "0"}
	}},
	{name: "descriptors", request: func(r *Request) { r.Preserve = 3 }},
}

func TestExecVariants(t *testing.T) {
	golden(t, "exec", sections(t, execVariants, func(t *testing.T, s *specs.Spec, change func(*Request)) *Plan {
		r := request(s, hostHybrid())
		if change != nil {
			change(&r)
		}
		return exec(t, ExecRequest{Spec: r.Spec, Process: r.Spec.Process, ID: r.ID, Rootfs: r.Rootfs, Preserve: r.Preserve, Host: r.Host})
	}))
}

func TestHookPlan(t *testing.T) {
	s := specconv.Example()
	p := Hook(s, "/usr/bin/hook", []string{"hook", "arg"}, []string{"A=b"}, "/bundle")
	obeys(t, &subject{plan: p, spec: s, hook: true})
	golden(t, "hook", []section{{"createContainer", p.String()}})
}

// sections returns the plan of the first variant, and the differences of each
// other one.
func sections(t *testing.T, list []variant, plan func(*testing.T, *specs.Spec, func(*Request)) *Plan) []section {
	var out []section
	var base *Plan
	for _, v := range list {
		t.Run(v.name, func(t *testing.T) {
			s := specconv.Example()
			if v.spec != nil {
				v.spec(s)
			}
			p := plan(t, s, v.request)
			if base == nil {
				base = p
				out = append(out, section{v.name, p.String()})
				return
			}
			out = append(out, section{v.name, changes(base, p)})
		})
	}
	return out
}

func BenchmarkCreate(b *testing.B) {
	r := request(readBundle(b, "docker-29"), hostV2())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Create(r); err != nil {
			b.Fatal(err)
		}
	}
}
