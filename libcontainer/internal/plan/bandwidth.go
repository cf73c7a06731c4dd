package plan

import (
	"slices"
	"strings"

	"github.com/onggi-dev/onggi/specconv"
)

// LimitBandwidth limits the traffic that the container's processes send and
// receive. It attaches programs to the container's cgroup. A limit of zero means
// no limit.
type LimitBandwidth struct {
	runtimeStep
	Egress, Ingress specconv.Bandwidth
}

func (s LimitBandwidth) String() string {
	var limits []string
	if s.Egress.Rate > 0 {
		limits = append(limits, "egress to "+s.Egress.String())
	}
	if s.Ingress.Rate > 0 {
		limits = append(limits, "ingress to "+s.Ingress.String())
	}
	return "limit " + strings.Join(limits, ", ")
}

// bandwidth adds the limits before any process can open a socket.
func (b *builder) bandwidth() {
	egress, ingress := specconv.Bandwidths(b.Spec)
	if egress.Rate == 0 && ingress.Rate == 0 {
		return
	}
	pointer := "/annotations/" + specconv.NetworkEgress
	if egress.Rate == 0 {
		pointer = "/annotations/" + specconv.NetworkIngress
	}
	if !slices.ContainsFunc(b.Host.Cgroups, func(c CgroupMount) bool { return c.V2 }) {
		b.fail(specconv.Problems{{Pointer: pointer, Message: "needs cgroup v2, and the container has no cgroup2 cgroup"}})
		return
	}
	b.add(pointer, LimitBandwidth{Egress: egress, Ingress: ingress})
}
