package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

func TestParseFlags(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want flags
		fail bool
	}{
		{
			name: "as containerd calls it", args: []string{"-namespace", "n", "-address", "a", "-publish-binary", "p", "-id", "i", "-bundle", "b", "-debug", "start"},
			want: flags{namespace: "n", address: "a", publisher: "p", id: "i", bundle: "b", debug: true, action: "start"},
		},
		{name: "two dashes and an equals sign", args: []string{"--id=i", "-debug=false", "delete"}, want: flags{id: "i", action: "delete"}},
		{name: "an empty value", args: []string{"-publish-binary", "", "-v"}, want: flags{version: true}},
		{name: "no value", args: []string{"-id"}, fail: true},
		{name: "an unknown flag", args: []string{"-wings"}, fail: true},
		{name: "two actions", args: []string{"start", "delete"}, fail: true},
	} {
		got, err := parseFlags(tc.args)
		if (err != nil) != tc.fail || err == nil && got != tc.want {
			t.Errorf("%s: parseFlags(%q) = %+v, %v; want %+v, an error: %v", tc.name, tc.args, got, err, tc.want, tc.fail)
		}
	}
}

// TestCgroupRoots checks that a file cgroup.procs beside the hierarchies does not make them
// one of cgroup v2.
func TestCgroupRoots(t *testing.T) {
	mount := t.TempDir()
	for _, name := range []string{"cpu", "memory"} {
		if err := os.Mkdir(filepath.Join(mount, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(mount, "cgroup.procs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(mount, "cpu"), filepath.Join(mount, "memory")}
	if got, err := cgroupRoots(mount); err != nil || !slices.Equal(got, want) {
		t.Errorf("cgroupRoots(%q) = %q, %v; want %q", mount, got, err, want)
	}
}

// TestAnAnyIsNoParameters checks that readParams tells options from BootstrapParams: an Any also decodes as the latter.
func TestAnAnyIsNoParameters(t *testing.T) {
	inner, err := (&wire.RuncOptions{Root: "/r"}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	data, err := (&wire.Any{TypeUrl: wire.TypeRuncOptions, Value: inner}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	params, o, err := readParams(flags{id: "i", namespace: "n"}, bytes.NewReader(data))
	if params != nil || err != nil || !reflect.DeepEqual(o, options.Options{Root: "/r"}) {
		t.Errorf("readParams(Any) = %v, %+v, %v; want no parameters and the options", params, o, err)
	}
	data, err = (&wire.BootstrapParams{InstanceId: "i", Namespace: "n"}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	if params, _, err := readParams(flags{id: "i", namespace: "n"}, bytes.NewReader(data)); params == nil || err != nil {
		t.Errorf("readParams(BootstrapParams) = %v, %v; want parameters", params, err)
	}
}
