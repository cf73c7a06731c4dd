package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The runtime creates missing mountpoints some batches before their mounts. Each result has to be read from the batch
// of its calls. An earlier version read it from the last batch: with many mounts the index was out of range, with fewer
// mounts the result belonged to another mount.
func TestManyMissingMountpoints(t *testing.T) {
	for _, tt := range []struct{ mounts, depth int }{{3000, 1}, {250, 2}, {100, 5}, {60, 20}} {
		t.Run(fmt.Sprintf("%d at depth %d", tt.mounts, tt.depth), func(t *testing.T) {
			if tt.mounts > 1000 && testing.Short() {
				t.Skip("a long one")
			}
			c := newContainer(t, args("cat", "/proc/self/mountinfo"))
			c.write("source/file", "")
			var list []specs.Mount
			for n := range tt.mounts {
				path := "/made" + strings.Repeat(fmt.Sprintf("/%d", n), tt.depth)
				m := specs.Mount{Destination: path, Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: []string{"bind"}}
				if n%3 == 0 {
					m = specs.Mount{Destination: path, Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}}
				}
				list = append(list, m)
			}
			c.edit(mount(list...))
			if got := strings.Count(c.output(), " /made/"); got != tt.mounts {
				t.Errorf("%d of them are mounted; want %d", got, tt.mounts)
			}
		})
	}
}

// Every list in config.json works up to the kernel's limit. One more element is refused, and the error names the field.
func TestListsAsLongAsTheKernelTakes(t *testing.T) {
	numbers := func(n int) (list []uint32) {
		for i := range n {
			list = append(list, uint32(100000+i))
		}
		return list
	}
	const maxGroups, maxString = 65536, 128<<10 - 1 // NGROUPS_MAX, and MAX_ARG_STRLEN with its NUL
	many := func(n int, format string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return list
	}
	odd := make([]string, 0, 32768) // ports that do not form ranges: 190 KiB
	for port := 1; port < 65536; port += 2 {
		odd = append(odd, fmt.Sprint(port))
	}
	for _, tt := range []struct {
		name string
		edit edit
		args []string
		want string
	}{
		{"groups", func(s *specs.Spec) { s.Process.User.AdditionalGids = numbers(maxGroups) }, []string{"sh", "-c", "grep ^Groups: /proc/self/status | wc -w"}, "65537"},
		{"a string of the environment", func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "V="+strings.Repeat("x", maxString-2)) }, []string{"sh", "-c", "echo ${#V}"}, "131069"},
		{"the environment", func(s *specs.Spec) {
			s.Process.Env = append(s.Process.Env, many(40000, "V%06d=0123456789012345678901")...)
		}, []string{"sh", "-c", "env | grep -c ^V0"}, "40000"},
		{"arguments", nil, append([]string{"sh", "-c", "echo $#", "sh"}, many(100000, "%06d")...), "100000"},
		{"a sysctl's value", func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_local_reserved_ports": strings.Join(odd, ",")}
		}, []string{"sh", "-c", "dd bs=1M count=1 if=/proc/sys/net/ipv4/ip_local_reserved_ports 2>/dev/null | tr , '\\n' | wc -l"}, "32768"},
		{"masked paths", func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, many(5000, "/missing/%d")...) }, []string{"echo", "ok"}, "ok"},
		{"read-only paths", func(s *specs.Spec) {
			s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, many(5000, "/missing/%d")...)
		}, []string{"echo", "ok"}, "ok"},
		{"devices", func(s *specs.Spec) {
			for i := range 2000 {
				s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: fmt.Sprintf("/dev/many/%d", i), Type: "c", Major: 1, Minor: 3})
			}
		}, []string{"sh", "-c", "ls /dev/many | wc -l"}, "2000"},
		{"hooks", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{}
			for range 100 {
				s.Hooks.CreateRuntime = append(s.Hooks.CreateRuntime, specs.Hook{Path: "/bin/true"})
			}
		}, []string{"echo", "ok"}, "ok"},
		{"a hook's arguments and environment", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/sh", Args: append([]string{"sh", "-c", "test $# = 50000", "sh"}, many(50000, "%06d")...), Env: many(10000, "V%06d=012345678901")}}}
		}, []string{"echo", "ok"}, "ok"},
		{"mount options", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/many", Type: "tmpfs", Source: "tmpfs", Options: many(3000, "size=%dk")})
		}, []string{"grep", "-c", " /many ", "/proc/self/mountinfo"}, "1"},
		{"annotations", func(s *specs.Spec) {
			s.Annotations = map[string]string{}
			for _, name := range many(20000, "org.example.%d") {
				s.Annotations[name] = name
			}
		}, []string{"echo", "ok"}, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, args(tt.args...))
			if tt.edit != nil {
				c.edit(tt.edit)
			}
			want(t, "what it printed", c.output(), tt.want)
		})
	}
	for name, tt := range map[string]struct {
		edit  edit
		texts []string
	}{
		"groups": {func(s *specs.Spec) { s.Process.User.AdditionalGids = numbers(maxGroups + 1) }, []string{"/process/user"}},
		"a string of the environment": {
			func(s *specs.Spec) { s.Process.Env = []string{"PATH=/bin", "V=" + strings.Repeat("x", maxString)} },
			[]string{"/process/env/1: ", "131073 bytes are over the kernel's limit of 128 KiB for one string", "argument list too long"},
		},
		"an argument": {
			func(s *specs.Spec) { s.Process.Args = []string{"true", strings.Repeat("x", maxString+1)} },
			[]string{"/process/args/1: ", "128 KiB for one string", "argument list too long"},
		},
		"arguments": {
			func(s *specs.Spec) { s.Process.Args = append([]string{"true"}, many(600000, "%06d")...) },
			[]string{"/process/args: ", "bytes together", "argument list too long"},
		},
	} {
		t.Run("too many: "+name, func(t *testing.T) {
			r := newContainer(t, args("true"), tt.edit).run()
			for _, text := range tt.texts {
				refused(t, r, 1, text)
			}
		})
	}
}
