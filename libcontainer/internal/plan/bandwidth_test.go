package plan

import (
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/specconv"
)

func TestLimitBandwidth(t *testing.T) {
	for _, tt := range []struct {
		name            string
		egress, ingress string
		want            string
	}{
		{"none", "", "", ""},
		{"egress", "10mbit", "", "limit egress to 10mbit:375000b"},
		{"ingress", "", "1.5gbit:1m", "limit ingress to 1500mbit:1m"},
		{"both", "8kbit:1500b", "1tbit:64k", "limit egress to 8kbit:1500b, ingress to 1tbit:64k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := specconv.Example()
			s.Annotations = map[string]string{}
			for name, value := range map[string]string{specconv.NetworkEgress: tt.egress, specconv.NetworkIngress: tt.ingress} {
				if value != "" {
					s.Annotations[name] = value
				}
			}
			got := ""
			if found, _ := steps[LimitBandwidth](t, s, v2); len(found) > 0 {
				got = found[0].String()
			}
			if got != tt.want {
				t.Errorf("step %q; want %q", got, tt.want)
			}
			if tt.want == "" {
				return
			}
			_, err := Create(Request{Spec: s, ID: "c", Rootfs: "/b/rootfs", Bundle: "/b", Host: Host{}})
			if err == nil || !strings.Contains(err.Error(), "needs cgroup v2") {
				t.Errorf("Create without cgroup v2: %v; want an error that says so", err)
			}
		})
	}
}
