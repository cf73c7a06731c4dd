package plan

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

func TestNotifyMount(t *testing.T) {
	find := func(r Request) (Bind, int) {
		for i, it := range create(t, r).Items {
			if b, ok := it.Step.(Bind); ok && b.Source == "/state/c/notify" {
				return b, i
			}
		}
		return Bind{}, -1
	}
	r := request(specconv.Example(), hostV2())
	if _, i := find(r); i >= 0 {
		t.Error("mounted where nobody asked for it")
	}
	r.NotifyDir = "/state/c/notify"
	r.Spec.Mounts = append(r.Spec.Mounts, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs"})
	b, i := find(r)
	if want := (Place{Path: "/run/notify", In: "/run", Name: "notify", Below: true}); b.At != want {
		t.Errorf("at %+v; want %+v", b.At, want)
	}
	if b.Attrs.Set&unix.MOUNT_ATTR_RDONLY == 0 || i < last[Mount](&subject{plan: create(t, r)}) {
		t.Errorf("mount %d: %+v; want it read-only and behind the others", i, b)
	}
}

// Below compares names only, for any kind of mount.
func TestBelow(t *testing.T) {
	r := request(specconv.Example(), hostV2())
	r.Spec.Mounts = nil
	places := []string{"/a/b", "/a", "/ab", "/a/c/d", "/a/b/x", "/x/y", "/z"}
	for _, p := range places {
		r.Spec.Mounts = append(r.Spec.Mounts, specs.Mount{Destination: p, Type: "bind", Source: "/srv", Options: []string{"bind"}})
	}
	want := map[string]bool{"/a/c/d": true, "/a/b/x": true}
	n := 0
	for _, it := range create(t, r).Items {
		if b, ok := it.Step.(Bind); ok {
			if n++; b.At.Below != want[b.At.Path] {
				t.Errorf("%s is below another mount: %t", b.At.Path, b.At.Below)
			}
		}
	}
	if n != len(places) {
		t.Errorf("%d bind mounts; want %d", n, len(places))
	}
}
