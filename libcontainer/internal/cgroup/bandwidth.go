package cgroup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Bandwidth is the limit of one direction. The zero Bandwidth means no limit.
type Bandwidth struct {
	Rate  uint64 // bits a second
	Burst uint64 // bytes that may exceed the rate at once
}

// burstTime returns the nanoseconds that Burst bytes take at the rate.
func (b Bandwidth) burstTime() uint64 {
	return uint64(float64(b.Burst) * 8e9 / float64(b.Rate))
}

// Bandwidths are the limits of a container. In a change, nil keeps the present
// limit of that direction.
type Bandwidths struct{ Egress, Ingress *Bandwidth }

func (b Bandwidths) of(d direction) *Bandwidth {
	if d == ingress {
		return b.Ingress
	}
	return b.Egress
}

// BandwidthStats counts the traffic of one direction since it got a limit. A change of
// the limit keeps the counters.
type BandwidthStats struct {
	Rate    uint64 `json:"rate"`    // bits a second
	Burst   uint64 `json:"burst"`   // bytes
	Bytes   uint64 `json:"bytes"`   // passed, network and transport headers included
	Packets uint64 `json:"packets"` // passed; a packet that is segmented later counts once
	Dropped uint64 `json:"dropped"` // packets
	Marked  uint64 `json:"marked"`  // packets that reported congestion to their sender
}

// NetworkStats has the statistics of the limited directions; nil is no limit.
type NetworkStats struct {
	Egress  *BandwidthStats `json:"egress,omitempty"`
	Ingress *BandwidthStats `json:"ingress,omitempty"`
}

// CheckBandwidth returns the reason why the container cannot have a bandwidth
// limit: it needs a cgroup v2 cgroup.
func (p Paths) CheckBandwidth() error {
	switch {
	case p.Unified != nil:
		return nil
	case p.none():
		return errors.New("a limit of bandwidth needs a cgroup, and the container has none")
	}
	return errors.New("a limit of bandwidth needs cgroup v2, and no cgroup2 hierarchy is mounted on this host")
}

// SetBandwidth changes the bandwidth limits. It first has the kernel verify the
// programs of both directions, then it attaches them one after the other. Each
// attachment is atomic. If the second one fails, SetBandwidth undoes the first.
func (p Paths) SetBandwidth(b Bandwidths) error {
	if err := p.CheckBandwidth(); err != nil {
		return err
	}
	g, err := openGroup(p.Unified.Abs())
	if err != nil {
		return err
	}
	defer g.close()
	var changes []*bandwidthChange
	defer func() {
		for _, c := range changes {
			c.close()
		}
	}()
	for _, d := range []direction{egress, ingress} {
		if to := b.of(d); to != nil {
			c, err := prepareBandwidth(g, d, *to)
			if err != nil {
				return err
			}
			changes = append(changes, c)
		}
	}
	for i, c := range changes {
		if err := c.apply(); err != nil {
			for _, done := range changes[:i] {
				err = errors.Join(err, done.undo())
			}
			return err
		}
	}
	return nil
}

// bandwidthChange is the change of one direction. The kernel has verified its
// program; apply attaches it.
type bandwidthChange struct {
	dir      group
	hook     hook
	old, now int // programs; -1 for none
	bucket   bucket
	from, to Bandwidth
}

func prepareBandwidth(g group, d direction, to Bandwidth) (*bandwidthChange, error) {
	c := &bandwidthChange{dir: g, hook: d.hook(), old: -1, now: -1, to: to}
	if err := c.prepare(d); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// prepare opens the old program and the bucket, and loads the new program. After an
// error the caller closes c.
func (c *bandwidthChange) prepare(d direction) (err error) {
	if c.old, err = c.hook.attached(c.dir.fd); err != nil {
		return bandwidthError(c.dir, "bpf(BPF_PROG_QUERY) on", err)
	}
	if c.to.Rate == 0 && c.old < 0 {
		return nil
	}
	buckets, err := c.openBucket()
	if err != nil {
		return bandwidthError(c.dir, "bpf(BPF_MAP_CREATE) for", err)
	}
	defer unix.Close(buckets)
	if c.bucket, err = mapBucket(buckets); err != nil {
		return bandwidthError(c.dir, "the map of", err)
	}
	c.from = c.bucket.limit()
	if c.to.Rate == 0 {
		return nil
	}
	if c.now, err = c.hook.load(d.program(c.to, buckets)); err != nil {
		return bandwidthError(c.dir, fmt.Sprintf("bpf(BPF_PROG_LOAD) of the %v program for", d), err)
	}
	return nil
}

// openBucket opens the bucket of the old program, so that its counters go on. If
// there is no old program, it creates a bucket.
func (c *bandwidthChange) openBucket() (int, error) {
	if c.old < 0 {
		return newBucket(c.hook.name)
	}
	return bucketOf(c.old)
}

func (c *bandwidthChange) apply() error {
	return c.exchange(c.old, c.now, c.from, c.to)
}

func (c *bandwidthChange) undo() error {
	return c.exchange(c.now, c.old, c.to, c.from)
}

// exchange replaces the program old by now (-1: no program), records the new limit in
// the bucket, and converts the bucket's lag to the new rate.
func (c *bandwidthChange) exchange(old, now int, from, to Bandwidth) error {
	switch {
	case now >= 0:
		if err := c.hook.replace(c.dir.fd, old, now); err != nil {
			return bandwidthError(c.dir, "bpf(BPF_PROG_ATTACH) to", err)
		}
	case old >= 0:
		if err := c.hook.detach(c.dir.fd, old); err != nil {
			return bandwidthError(c.dir, "bpf(BPF_PROG_DETACH) from", err)
		}
	default:
		return nil
	}
	c.bucket.setLimit(to)
	if from.Rate == 0 || to.Rate == 0 {
		return nil
	}
	return c.bucket.rescale(from.Rate, to.Rate)
}

func (c *bandwidthChange) close() {
	for _, fd := range []int{c.old, c.now} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if c.bucket != nil {
		c.bucket.unmap()
	}
}

// bandwidthError adds a hint to an error of bpf(2): the capability or kernel
// option that is probably missing.
func bandwidthError(g group, op string, err error) error {
	return &FileError{Op: op, Path: g.path, Hint: bpfHint(err), Err: err}
}

func bpfHint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "eBPF programs of a cgroup's network require CAP_BPF and CAP_NET_ADMIN on the host; changing them requires CAP_SYS_ADMIN"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return "the kernel lacks eBPF programs for cgroups (CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF), or this kind of them"
	}
	return ""
}

// Bandwidths reads the limits in force. A direction without a limit is nil.
func (p Paths) Bandwidths() (Bandwidths, error) {
	s, err := p.NetworkStats()
	if s == nil {
		return Bandwidths{}, err
	}
	limit := func(s *BandwidthStats) *Bandwidth {
		if s == nil {
			return nil
		}
		return &Bandwidth{Rate: s.Rate, Burst: s.Burst}
	}
	return Bandwidths{Egress: limit(s.Egress), Ingress: limit(s.Ingress)}, err
}

// NetworkStats reads the counters of the limits. It returns nil if there is none.
func (p Paths) NetworkStats() (*NetworkStats, error) {
	if p.Unified == nil {
		return nil, nil
	}
	g, err := openGroup(p.Unified.Abs())
	if err != nil {
		return nil, err
	}
	defer g.close()
	return networkStats(g)
}

func networkStats(g group) (_ *NetworkStats, err error) {
	var s NetworkStats
	if s.Egress, err = bandwidthStats(g, egress); err != nil {
		return nil, err
	}
	if s.Ingress, err = bandwidthStats(g, ingress); err != nil {
		return nil, err
	}
	if s.Egress == nil && s.Ingress == nil {
		return nil, nil
	}
	return &s, nil
}

func bandwidthStats(g group, d direction) (*BandwidthStats, error) {
	prog, err := d.hook().attached(g.fd)
	if err != nil {
		return nil, bandwidthError(g, "bpf(BPF_PROG_QUERY) on", err)
	}
	if prog < 0 {
		return nil, nil
	}
	defer unix.Close(prog)
	fd, err := bucketOf(prog)
	if err != nil {
		return nil, bandwidthError(g, "bpf(BPF_MAP_GET_FD_BY_ID) for", err)
	}
	defer unix.Close(fd)
	b, err := mapBucket(fd)
	if err != nil {
		return nil, bandwidthError(g, "the map of", err)
	}
	defer b.unmap()
	s := b.stats()
	return &s, nil
}

// ProbeBandwidth returns the reason why the kernel would refuse the programs. It
// has the kernel verify an egress program and attaches it nowhere.
func (p Paths) ProbeBandwidth() error {
	g := group{path: p.Unified.Abs()}
	fd, err := newBucket(egress.hook().name)
	if err != nil {
		return bandwidthError(g, "bpf(BPF_MAP_CREATE) for", err)
	}
	defer unix.Close(fd)
	prog, err := egress.hook().load(egress.program(Bandwidth{Rate: 1e6, Burst: 1 << 16}, fd))
	if err != nil {
		return bandwidthError(g, "bpf(BPF_PROG_LOAD) of the egress program for", err)
	}
	return unix.Close(prog)
}
