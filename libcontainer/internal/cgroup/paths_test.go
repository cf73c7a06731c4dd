package cgroup

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// hybridHost returns a host whose runtime is in /own on v1 and in /own/init on cgroup2.
func hybridHost() *Host {
	return &Host{
		Mode: Hybrid,
		Hierarchies: []Hierarchy{
			{Controllers: []string{"name=systemd"}, Mountpoint: "/c/systemd", Own: "/own"},
			{Controllers: []string{"cpu", "cpuacct"}, Mountpoint: "/c/cpu,cpuacct", Own: "/"},
		},
		Unified: &Hierarchy{Mountpoint: "/c/unified", Own: "/own/init"},
	}
}

func pureHost() *Host {
	return &Host{Mode: V2, Unified: &Hierarchy{Mountpoint: "/c", Own: "/own/init"}}
}

func TestResolve(t *testing.T) {
	for _, test := range []struct {
		host *Host
		path string
		want string // absolute directories
	}{
		{hybridHost(), "/a/b", "/c/systemd/a/b /c/cpu,cpuacct/a/b /c/unified/a/b"},
		{hybridHost(), "//a/./b/", "/c/systemd/a/b /c/cpu,cpuacct/a/b /c/unified/a/b"},
		{hybridHost(), "a/b", "/c/systemd/own/a/b /c/cpu,cpuacct/a/b /c/unified/own/init/a/b"},
		{hybridHost(), "", "/c/systemd/own/id1 /c/cpu,cpuacct/id1 /c/unified/own/init/id1"},
		{pureHost(), "/a/b", "/c/a/b"},
		{pureHost(), "a/b", "/c/own/a/b"},
		{pureHost(), "", "/c/own/id1"},
		{&Host{Mode: V2, Unified: &Hierarchy{Mountpoint: "/c", Own: "/"}}, "", "/c/id1"},
	} {
		p, err := Resolve(test.host, test.path, "id1", false)
		if err != nil {
			t.Errorf("Resolve(%v, %q): %v", test.host.Mode, test.path, err)
			continue
		}
		var dirs []string
		for d := range p.dirs() {
			dirs = append(dirs, d.Abs())
		}
		if got := strings.Join(dirs, " "); got != test.want {
			t.Errorf("Resolve(%v, %q) = %s; want %s", test.host.Mode, test.path, got, test.want)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, path := range []string{"..", "/..", "/a/../b", "a/..", "/", "//", ".", "a\nb"} {
		if p, err := Resolve(pureHost(), path, "id1", false); err == nil {
			t.Errorf("Resolve(%q) = %+v; want an error", path, p)
		} else if !strings.HasPrefix(err.Error(), "/linux/cgroupsPath: ") {
			t.Errorf("Resolve(%q): %v; want the field first", path, err)
		}
	}
}

func TestResolveOptional(t *testing.T) {
	for _, test := range []struct {
		path     string
		rootless bool
		want     bool
	}{{"", true, true}, {"", false, false}, {"/a", true, false}} {
		p, err := Resolve(pureHost(), test.path, "id1", test.rootless)
		if err != nil || p.Optional != test.want {
			t.Errorf("Resolve(%q, rootless %v).Optional = %v, %v; want %v", test.path, test.rootless, p.Optional, err, test.want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("/a/b")
	f.Add("a//..")
	f.Fuzz(func(t *testing.T, path string) {
		p, err := Resolve(hybridHost(), path, "id1", false)
		if err != nil {
			if !p.none() || strings.Contains(err.Error(), "\n") {
				t.Errorf("Resolve(%q) = %+v, %v; want one or the other, in one line", path, p, err)
			}
			return
		}
		if p.none() {
			t.Errorf("Resolve(%q) = nothing, and no error", path)
		}
		for d := range p.dirs() {
			if !strings.HasPrefix(d.Abs(), d.Mountpoint+"/") {
				t.Errorf("Resolve(%q) = %s, outside of %s", path, d.Abs(), d.Mountpoint)
			}
		}
	})
}

func TestPathsJSON(t *testing.T) {
	p, err := Resolve(hybridHost(), "/a", "id1", false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got Paths
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("through JSON: %+v, %v; want %+v", got, err, p)
	}
}

func TestMounts(t *testing.T) {
	p, err := Resolve(hybridHost(), "/a", "id1", false)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{Name: "systemd", Options: "none,name=systemd", Mountpoint: "/c/systemd", Path: "/c/systemd/a"},
		{Name: "cpu,cpuacct", Links: []string{"cpu", "cpuacct"}, Options: "cpu,cpuacct", Mountpoint: "/c/cpu,cpuacct", Path: "/c/cpu,cpuacct/a"},
		{Name: "unified", V2: true, Mountpoint: "/c/unified", Path: "/c/unified/a"},
	}
	if got := p.Mounts(); !reflect.DeepEqual(got, want) {
		t.Errorf("Mounts() = %+v; want %+v", got, want)
	}
	p, err = Resolve(pureHost(), "/a", "id1", false)
	if err != nil {
		t.Fatal(err)
	}
	want = []Mount{{V2: true, Mountpoint: "/c", Path: "/c/a"}}
	if got := p.Mounts(); !reflect.DeepEqual(got, want) {
		t.Errorf("on v2: Mounts() = %+v; want %+v", got, want)
	}
}

func TestOf(t *testing.T) {
	p, err := Resolve(hybridHost(), "/a", "id1", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want string }{
		{"2:name=systemd:/a\n1:cpu,cpuacct:/a/x\n0::/a/y/z\n", "/a /a/x /a/y/z"},
		{"2:name=systemd:/a\n1:cpu,cpuacct:/a\n0::/ab\n", ""},
		{"2:name=systemd:/a\n1:cpu,cpuacct:/a\n0::/\n", ""},
		{"2:name=systemd:/a\n1:cpu,cpuacct:/a\n0::/a/../b\n", ""},
		{"2:name=systemd:/a\n0::/a\n", ""},
	} {
		got := ""
		if of, err := p.of(memberships(test.text), "f", func(Dir) bool { return false }); err == nil {
			for d := range of.dirs() {
				got += " " + d.Path
			}
			got = got[1:]
		}
		if got != test.want {
			t.Errorf("of(%q) = %q; want %q", test.text, got, test.want)
		}
	}
	if p.Unified.Path != "/a" || p.V1[0].Path != "/a" {
		t.Errorf("of has changed its receiver: %+v", p)
	}
}
