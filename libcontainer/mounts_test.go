package libcontainer

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

func TestUnmountsAreThoseOfTheDestinations(t *testing.T) {
	known := []state.Mount{{Destination: "/a", ID: 1}, {Destination: "/b", ID: 2}, {Destination: "/a", ID: 3}, {Destination: "/a/in", ID: 4}}
	tests := []struct {
		name         string
		destinations []string
		want         []uint64 // nil if an error is expected
		left         []uint64
	}{
		{"the one on top", []string{"/a"}, []uint64{3}, []uint64{1, 2}},
		{"both, and what is below goes with the upper one", []string{"/a", "a/"}, []uint64{3, 1}, []uint64{2}},
		{"from the last to the first", []string{"/b", "/a/in"}, []uint64{4, 2}, []uint64{1, 3}},
		{"more often than it was mounted", []string{"/b", "/b"}, nil, nil},
		{"below one that goes", []string{"/a/in", "/a"}, nil, nil},
		{"unknown", []string{"/proc"}, nil, nil},
	}
	for _, tt := range tests {
		var mounts []specs.Mount
		for _, d := range tt.destinations {
			mounts = append(mounts, specs.Mount{Destination: d})
		}
		list, err := unmounts(known, mounts)
		var got, left []uint64
		rest := known
		for _, u := range list {
			got = append(got, u.ID)
			rest = without(rest, u.ID)
		}
		for _, m := range rest {
			if err == nil {
				left = append(left, m.ID)
			}
		}
		if !slices.Equal(got, tt.want) || !slices.Equal(left, tt.left) {
			t.Errorf("%s: unmounts(%q) = %d, and %d are left; want %d, %d", tt.name, tt.destinations, got, left, tt.want, tt.left)
		}
	}
	if _, err := unmounts(nil, []specs.Mount{{Destination: "/a"}}); err == nil {
		t.Error("unmounts of nothing: no error")
	}
}
