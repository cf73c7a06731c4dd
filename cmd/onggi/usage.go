package main

import (
	"slices"
	"time"

	"github.com/onggi-dev/onggi/libcontainer"
)

// usage is one line of top: the resources that a container uses, and the rates.
type usage struct {
	id, status    string
	cpu           float64 // percent of one processor
	memory, limit uint64  // bytes; a limit of 0 means none
	pids, pidsMax uint64
	read, written float64 // bytes a second
	pressure      [3]float64
	limited       bool // its bandwidth is limited, so traffic has values
	traffic       trafficRates
}

// trafficRates are bytes and packets per second.
type trafficRates struct{ sent, received, packets, dropped, marked float64 }

// counters are the values from which rates are computed.
type counters struct {
	created time.Time // tells containers with the same id apart
	at      time.Time
	cpu     uint64 // nanoseconds
	read    uint64
	written uint64
	traffic trafficCounters
}

// trafficCounters are the sums over the limits of both directions.
type trafficCounters struct{ sent, received, packets, dropped, marked uint64 }

func trafficOf(s *libcontainer.NetworkStats) (c trafficCounters) {
	if s == nil {
		return c
	}
	for _, d := range []*libcontainer.BandwidthStats{s.Egress, s.Ingress} {
		if d != nil {
			c.packets += d.Packets
			c.dropped += d.Dropped
			c.marked += d.Marked
		}
	}
	if s.Egress != nil {
		c.sent = s.Egress.Bytes
	}
	if s.Ingress != nil {
		c.received = s.Ingress.Bytes
	}
	return c
}

// meter turns counters into rates, from one look to the next.
type meter struct{ last map[string]counters }

// look measures all live containers, or only the named ones.
func (m *meter) look(r *libcontainer.Runtime, named []string) ([]usage, error) {
	states, err := r.List()
	if err != nil && len(states) == 0 {
		return nil, err
	}
	now := make(map[string]counters)
	var all []usage
	for _, s := range states {
		if len(named) > 0 && !slices.Contains(named, s.ID) {
			continue
		}
		stats, ok := statsOf(r, s.ID)
		if !ok {
			continue // the container has ended
		}
		c := countersOf(stats, s.Created, time.Now())
		now[s.ID] = c
		all = append(all, usageOf(s, stats, m.last[s.ID], c))
	}
	m.last = now
	return all, nil
}

func statsOf(r *libcontainer.Runtime, id string) (*libcontainer.Stats, bool) {
	c, err := r.Load(id)
	if err != nil {
		return nil, false
	}
	defer c.Close()
	s, err := c.Stats()
	return s, err == nil
}

func countersOf(s *libcontainer.Stats, created, at time.Time) counters {
	return counters{
		created: created, at: at, cpu: s.CPU.Usage.Total,
		read: sum(s.BlockIO.ServiceBytes, "Read"), written: sum(s.BlockIO.ServiceBytes, "Write"),
		traffic: trafficOf(s.Network),
	}
}

func sum(entries []libcontainer.BlockIOEntry, op string) (n uint64) {
	for _, e := range entries {
		if e.Op == op {
			n += e.Value
		}
	}
	return n
}

// noLimit is the lowest number by which a kernel says "no limit".
const noLimit = 1 << 62

func usageOf(state libcontainer.State, s *libcontainer.Stats, last, now counters) usage {
	u := usage{
		id: state.ID, status: state.Status, memory: workingSet(s.Memory), limit: s.Memory.Usage.Limit,
		pids: s.Pids.Current, pidsMax: s.Pids.Limit,
		pressure: [3]float64{some(s.CPU.Pressure), some(s.Memory.Pressure), some(s.BlockIO.Pressure)},
		limited:  s.Network != nil,
	}
	if u.limit >= noLimit {
		u.limit = 0
	}
	if !last.created.Equal(now.created) {
		return u // a rate needs two looks
	}
	seconds := now.at.Sub(last.at).Seconds()
	rate := func(from, to uint64) float64 {
		if to < from || seconds <= 0 {
			return 0
		}
		return float64(to-from) / seconds
	}
	u.cpu = rate(last.cpu, now.cpu) / 1e9 * 100
	u.read, u.written = rate(last.read, now.read), rate(last.written, now.written)
	u.traffic = trafficRates{
		sent: rate(last.traffic.sent, now.traffic.sent), received: rate(last.traffic.received, now.traffic.received),
		packets: rate(last.traffic.packets, now.traffic.packets), dropped: rate(last.traffic.dropped, now.traffic.dropped),
		marked: rate(last.traffic.marked, now.traffic.marked),
	}
	return u
}

// workingSet returns the memory in use without file pages that were not used lately: the kernel drops
// those when memory is short. The counters of v1 that include sub-cgroups are called total_….
func workingSet(m libcontainer.MemoryStats) uint64 {
	idle, ok := m.Raw["total_inactive_file"]
	if !ok {
		idle = m.Raw["inactive_file"]
	}
	return m.Usage.Usage - min(idle, m.Usage.Usage)
}

// some returns the percentage of the last ten seconds in which some task waited.
func some(p *libcontainer.Pressures) float64 {
	if p == nil || p.Some == nil {
		return 0
	}
	return p.Some.Avg10
}
