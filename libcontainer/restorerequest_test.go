package libcontainer

import (
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
)

// A restored mount may not be weaker than at the dump, nor than the configuration asks, nor have another source.
func TestCompareMounts(t *testing.T) {
	mount := func(device, root, point, options, peers string) criu.Mount {
		return criu.Mount{Device: device, Root: root, Point: point, Options: options, Peers: peers}
	}
	dumped := &dumpFacts{Mounts: []dumpedMount{
		{Point: "/", Options: "rw,relatime"},
		{Point: "/proc", Options: "rw,nosuid"},
		{Point: "/v", Options: "ro,nosuid", Peers: "master:1", External: true},
		{Point: "/w", Options: "rw", External: true},
		{Point: "/covered", Options: "ro", External: true},
		{Point: "/covered", Options: "rw"},
	}}
	good := []criu.Mount{
		mount("8:1", "/b/rootfs", "/", "rw,relatime", ""),
		mount("0:9", "/", "/proc", "rw,nosuid", ""),
		mount("8:1", "/v", "/v", "ro,nosuid", "master:7"),
		mount("8:1", "/w", "/w", "rw", ""),
		mount("8:1", "/p", "/covered", "ro", ""),
		mount("0:8", "/", "/covered", "rw", ""),
	}
	staged := []criu.Mount{
		mount("8:1", "/b/rootfs", "/", "rw", ""),
		mount("0:5", "/", "/proc", "rw,nosuid", ""), // a new one of CRIU replaces it
		mount("8:1", "/v", "/v", "ro,nosuid", "master:1"),
		mount("8:1", "/p", "/covered", "ro", ""), // the program has mounted another one on it
		mount("8:1", "/w", "/w", "rw", ""),
	}
	with := func(all []criu.Mount, m criu.Mount) []criu.Mount {
		out := append([]criu.Mount(nil), all...)
		for i := range out {
			if out[i].Point == m.Point {
				out[i] = m
			}
		}
		return out
	}
	for _, tt := range []struct {
		name             string
		facts            *dumpFacts
		staged, restored []criu.Mount
		want             string
	}{
		{"as before", dumped, staged, good, ""},
		{"of another runtime", nil, staged, good[:4], ""},
		{"of another runtime, writable", nil, staged, with(good, mount("8:1", "/v", "/v", "rw,nosuid", "master:7")), "the mount on /v came back without ro"},
		{"missing", dumped, staged, good[1:], "the mount on / is missing"},
		{"writable", dumped, staged, with(good, mount("8:1", "/v", "/v", "rw,nosuid", "master:7")), "the mount on /v came back without ro"},
		{"private", dumped, staged, with(good, mount("8:1", "/v", "/v", "ro,nosuid", "")), "the mount on /v came back with another propagation"},
		{"another directory", dumped, staged, with(good, mount("8:1", "/x", "/v", "ro,nosuid", "master:7")), "the mount on /v came back with another source: /x of device 8:1, and the configuration asks for /v of device 8:1"},
		{"another device", dumped, staged, with(good, mount("8:2", "/w", "/w", "rw", "")), "the mount on /w came back with another source"},
		{"another root", dumped, staged, with(good, mount("8:1", "/b/other", "/", "rw,relatime", "")), "the mount on / came back with another source"},
		{"a stricter configuration", dumped, with(staged, mount("8:1", "/w", "/w", "ro", "")), good, "the mount on /w came back without ro"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := compareMounts(tt.facts, tt.staged, tt.restored)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("compareMounts = %v; want %q", err, tt.want)
			}
		})
	}
}

// The flags that CRIU did not set, and that the configuration asks for, are added. A mount that CRIU made stricter stays so,
// and one that the container's program has put on top too.
func TestLackingFlags(t *testing.T) {
	staged := []criu.Mount{
		{Point: "/", Options: "rw,relatime"}, {Point: "/a", Options: "ro,nosuid,idmapped"}, {Point: "/b", Options: "ro"}, {Point: "/gone", Options: "ro"},
	}
	restored := []criu.Mount{{Point: "/", Options: "ro,relatime"}, {Point: "/a", Options: "rw,nosuid,noexec"}, {Point: "/b", Options: "ro"}, {Point: "/b", Options: "rw"}}
	got := lackingFlags(staged, restored)
	if len(got) != 1 || got[0].point != "/a" || got[0].names() != "ro" {
		t.Errorf("lackingFlags = %+v; want ro for /a", got)
	}
}
