package libcontainer

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestOwnOnly(t *testing.T) {
	for _, tt := range []struct {
		maps []specs.LinuxIDMapping
		want bool
	}{
		{nil, false},
		{[]specs.LinuxIDMapping{{HostID: 1000, Size: 1}}, true},
		{[]specs.LinuxIDMapping{{HostID: 1000, Size: 2}}, false},
		{[]specs.LinuxIDMapping{{HostID: 1001, Size: 1}}, false},
		{[]specs.LinuxIDMapping{{HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 1}}, false},
	} {
		if got := ownOnly(tt.maps, 1000); got != tt.want {
			t.Errorf("ownOnly(%v, 1000) = %v; want %v", tt.maps, got, tt.want)
		}
	}
}
