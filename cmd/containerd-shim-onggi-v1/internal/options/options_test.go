package options

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

func TestParseText(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       Options
		fail       bool
	}{
		{name: "nothing"},
		{name: "as in config.toml", text: "BinaryName = \"\"\nRoot = \"/r\"\nSystemdCgroup = true\nNoPivotRoot = false\n", want: Options{Root: "/r", SystemdCgroup: true}},
		{name: "with underscores", text: "no_pivot_root = true\nshim_cgroup = '/pods'\n# a comment\n[a.table]\n", want: Options{NoPivot: true, ShimCgroup: "/pods"}},
		{name: "runc by name", text: "BinaryName = \"/usr/sbin/runc\"", want: Options{}},
		{name: "another runtime", text: "BinaryName = \"crun\"", fail: true},
		{name: "no text", text: "Root = /r", fail: true},
		{name: "no truth value", text: "SystemdCgroup = \"yes\"", fail: true},
		{name: "no line", text: "Root", fail: true},
	} {
		got, err := parseText(tc.text)
		if (err != nil) != tc.fail || err == nil && got != tc.want {
			t.Errorf("%s: parseText(%q) = %+v, %v; want %+v, an error: %v", tc.name, tc.text, got, err, tc.want, tc.fail)
		}
	}
}

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(file, []byte("Root = \"/from/file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pack := func(typeURL string, m wire.Message) *wire.Any {
		packed, err := wire.Pack(typeURL, m)
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	for _, tc := range []struct {
		name string
		any  *wire.Any
		want Options
		fail bool
	}{
		{name: "none"},
		{name: "an empty one", any: &wire.Any{}},
		{name: "of runc", any: pack(wire.TypeRuncOptions, &wire.RuncOptions{Root: "/r", IoUid: 5, IoGid: 6}), want: Options{Root: "/r", UID: 5, GID: 6}},
		{name: "of runc, as ctr 1.6 has them", any: pack(wire.TypeCreateOptions, &wire.CreateOptions{NoPivotRoot: true, IoUid: 5}), want: Options{NoPivot: true, UID: 5}},
		{name: "text", any: pack(wire.TypeRuntimeOptions, &wire.RuntimeOptions{ConfigBody: []byte("Root = \"/t\"")}), want: Options{Root: "/t"}},
		{name: "a file", any: pack(wire.TypeRuntimeOptions, &wire.RuntimeOptions{ConfigPath: file}), want: Options{Root: "/from/file"}},
		{name: "no file", any: pack(wire.TypeRuntimeOptions, &wire.RuntimeOptions{ConfigPath: "/dev/zero"}), fail: true},
		{name: "of another kind", any: &wire.Any{TypeUrl: "kata.Options"}, fail: true},
		{name: "broken", any: &wire.Any{TypeUrl: wire.TypeRuncOptions, Value: []byte{0xff}}, fail: true},
	} {
		got, err := Parse(tc.any)
		if (err != nil) != tc.fail || err == nil && got != tc.want {
			t.Errorf("%s: Parse = %+v, %v; want %+v, an error: %v", tc.name, got, err, tc.want, tc.fail)
		}
	}
}
