package plan

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

func TestNetDevices(t *testing.T) {
	s := specconv.Example()
	s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth1": {}, "eth0": {Name: "inside%d"}}
	s.Linux.Sysctl = map[string]string{"net.ipv4.conf.eth1.rp_filter": "1"}
	sub := &subject{plan: create(t, request(s, hostV2()))}
	var got []NetDevice
	for _, it := range sub.plan.Items {
		if d, ok := it.Step.(NetDevice); ok {
			got = append(got, d)
		}
	}
	if want := []NetDevice{{Host: "eth0", Name: "inside%d"}, {Host: "eth1", Name: "eth1"}}; !slices.Equal(got, want) {
		t.Errorf("devices = %v; want %v", got, want)
	}
	if err := firstOf(before[Unshare, NetDevice](sub), before[Mount, NetDevice](sub), before[NetDevice, Sysctl](sub)); err != nil {
		t.Error(err)
	}
}
