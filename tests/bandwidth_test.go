package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	egressLimit  = "dev.onggi.network.egress"
	ingressLimit = "dev.onggi.network.ingress"
)

// needUnified skips the test if the container has no cgroup2 cgroup.
func needUnified(t testing.TB) {
	t.Helper()
	peersLack(t, "limits of bandwidth")
	if currentLayout() == "v1" {
		t.Skip("no cgroup2 hierarchy is mounted")
	}
}

// pair is two containers whose network namespaces are connected by a veth pair. The host does not see the pair.
type pair struct {
	limited, peer *container
	number        int
}

// newPair creates a pair. The limited container has 10.0.N.1 and fd00:N::1, the peer 10.0.N.2 and fd00:N::2.
func newPair(t testing.TB, peer *container, n int, edits ...edit) pair {
	t.Helper()
	p := pair{limited: newContainer(t, append([]edit{args("sleep", "1000")}, edits...)...), peer: peer, number: n}
	a, b := p.limited.up(), peer.state().Pid
	name := fmt.Sprintf("eth%d", n)
	inside(t, a, "ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", strconv.Itoa(b))
	for i, pid := range []int{a, b} {
		inside(t, pid, "ip", "addr", "add", fmt.Sprintf("10.0.%d.%d/24", n, i+1), "dev", name)
		inside(t, pid, "ip", "addr", "add", fmt.Sprintf("fd00:%d::%d/64", n, i+1), "nodad", "dev", name)
		inside(t, pid, "ip", "link", "set", name, "up")
	}
	return p
}

// inside runs a command of the host in the network namespace of a process.
func inside(t testing.TB, pid int, command ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(pid), "-n"}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}

// stream describes one kind of traffic.
type stream struct {
	protocol string // tcp or udp
	six      bool   // over IPv6
	flows    int
	inward   bool // to the limited container
	bits     int  // bits a second that UDP sends
}

func (s stream) String() string {
	way, family := "egress", "IPv4"
	if s.inward {
		way = "ingress"
	}
	if s.six {
		family = "IPv6"
	}
	flows := "1 flow"
	if s.flows > 1 {
		flows = fmt.Sprintf("%d flows", s.flows)
	}
	return fmt.Sprintf("%s %s over %s, %s", way, strings.ToUpper(s.protocol), family, flows)
}

// traffic is a stream in progress.
type traffic struct {
	stream
	t                testing.TB
	receiver, sender *invocation
}

var ports = 5000

func (p pair) begin(t testing.TB, s stream, d time.Duration) *traffic {
	t.Helper()
	from, to := p.limited.in(t), p.peer.in(t)
	host := 2
	if s.inward {
		from, to, host = to, from, 1
	}
	address := fmt.Sprintf("10.0.%d.%d", p.number, host)
	if s.six {
		address = fmt.Sprintf("fd00:%d::%d", p.number, host)
	}
	ports++
	port, ms := strconv.Itoa(ports), strconv.Itoa(int(d.Milliseconds()))
	receiver := to.begin("exec", to.id, "probe", "receive", s.protocol, port, ms)
	eventually(t, "the receiver is ready", func() bool { return strings.Contains(contents(receiver.out), "ready") })
	sender := from.begin("exec", from.id, "probe", "send", s.protocol, address, port, strconv.Itoa(s.flows),
		strconv.Itoa(int((d + time.Second).Milliseconds())), strconv.Itoa(s.bits))
	return &traffic{s, t, receiver, sender}
}

// measurement is the result of a stream.
type measurement struct {
	stream
	samples      [][2]float64 // milliseconds, bytes
	again, total int          // segments
}

func (w *traffic) end() measurement {
	w.t.Helper()
	m := measurement{stream: w.stream}
	received, sent := w.receiver.end(), w.sender.end()
	if received.code != 0 || sent.code != 0 {
		w.t.Fatalf("%v\n%v", received, sent)
	}
	for line := range strings.Lines(received.out) {
		var s [2]float64
		if n, _ := fmt.Sscan(line, &s[0], &s[1]); n == 2 {
			m.samples = append(m.samples, s)
		}
	}
	if _, err := fmt.Sscan(sent.out, &m.again, &m.total); err != nil {
		w.t.Fatalf("%v: %v", err, sent)
	}
	return m
}

// rate returns the bits a second between two times, in milliseconds.
func (m measurement) rate(from, to float64) float64 {
	var first, last [2]float64
	for _, s := range m.samples {
		if s[0] <= from {
			first = s
		}
		if s[0] <= to {
			last = s
		}
	}
	return (last[1] - first[1]) * 8 / (last[0] - first[0]) * 1000
}

// retransmitted returns the share of segments that were sent again.
func (m measurement) retransmitted() float64 {
	return float64(m.again) / float64(max(m.total, 1))
}

// bandwidthStats is the output of events --stats for one direction.
type bandwidthStats struct{ Rate, Burst, Bytes, Packets, Dropped, Marked uint64 }

func (c *container) bandwidth() (s struct{ Egress, Ingress *bandwidthStats }) {
	c.t.Helper()
	var event struct {
		Data struct {
			Network *json.RawMessage `json:"network_limits"`
		}
	}
	text := c.must("events", "--stats", c.id).out
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	if event.Data.Network != nil {
		if err := json.Unmarshal(*event.Data.Network, &s); err != nil {
			c.t.Fatal(err)
		}
	}
	return s
}

// bandwidthRow is one measurement of the table in docs/resources.md.
type bandwidthRow struct {
	stream
	low, high float64 // parts of the limit
}

var bandwidthRows = []bandwidthRow{
	{stream{protocol: "tcp", flows: 1}, 0.95, 1.02},
	{stream{protocol: "tcp", flows: 8}, 0.95, 1.02},
	{stream{protocol: "tcp", flows: 1, inward: true}, 0.95, 1.02},
	{stream{protocol: "tcp", flows: 8, inward: true}, 0.95, 1.02},
	{stream{protocol: "udp", flows: 1, bits: 20e6}, 0.98, 1.02},
	{stream{protocol: "udp", flows: 1, bits: 20e6, inward: true}, 0.98, 1.02},
	{stream{protocol: "tcp", six: true, flows: 1}, 0.94, 1.02},
	{stream{protocol: "tcp", six: true, flows: 1, inward: true}, 0.93, 1.02},
	{stream{protocol: "udp", six: true, flows: 1, bits: 20e6}, 0.97, 1.02},
}

const tenMbit = 10e6

// TestBandwidth measures the payload that a limit lets through, which for TCP is 1448 of 1500 bytes. The burst adds to the
// rate. A measurement of ten seconds includes it; shorter ones have wider bounds for it. With BANDWIDTH_TABLE=FILE the test
// measures for ten seconds and writes the rows of the documentation's table to that file.
func TestBandwidth(t *testing.T) {
	needUnified(t)
	peer := newContainer(t, args("sleep", "1000"))
	peer.up()
	p := newPair(t, peer, 1, annotation(egressLimit, "10mbit"), annotation(ingressLimit, "10mbit"))
	d := time.Duration(amount(2, 3, 4)) * time.Second
	if os.Getenv("BANDWIDTH_TABLE") != "" {
		d = 10 * time.Second
	}
	extra := 0.3/d.Seconds() - 0.03
	var table strings.Builder
	for _, row := range bandwidthRows {
		t.Run(row.String(), func(t *testing.T) {
			before := p.limited.bandwidth()
			m := p.begin(t, row.stream, d).end()
			after := p.limited.bandwidth()
			ratio := m.rate(0, float64(d.Milliseconds())) / tenMbit
			if ratio < row.low-extra || ratio > row.high+extra {
				t.Errorf("%v of what was asked for; want %v to %v, and %v for the burst", ratio, row.low, row.high, extra)
			}
			s, old := after.Egress, before.Egress
			if row.inward {
				s, old = after.Ingress, before.Ingress
			} else if m.retransmitted() >= 0.01 {
				t.Errorf("%d of %d segments were sent again; want less than 1%%", m.again, m.total)
			}
			if s.Dropped == old.Dropped || s.Bytes-old.Bytes < uint64(m.samples[len(m.samples)-1][1]) {
				t.Errorf("statistics %+v after %+v; want dropped packets, and at least the bytes that arrived", *s, *old)
			}
			fmt.Fprintf(&table, "| %v | 10 | %.2f | %s | %d |\n", row.stream, ratio*10, m.againText(), s.Dropped-old.Dropped)
		})
	}
	t.Logf("\n%s", table.String())
	if file := os.Getenv("BANDWIDTH_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (m measurement) againText() string {
	if m.protocol == "udp" {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*m.retransmitted())
}

// TestBandwidthOfTwo checks that the limit of one container does not affect the other.
func TestBandwidthOfTwo(t *testing.T) {
	needUnified(t)
	peer := newContainer(t, args("sleep", "1000"))
	peer.up()
	one := newPair(t, peer, 1, annotation(egressLimit, "4mbit:64k"))
	two := newPair(t, peer, 2, annotation(egressLimit, "16mbit:64k"))
	s := stream{protocol: "udp", flows: 1, bits: 24e6}
	const d = 3 * time.Second
	first, second := one.begin(t, s, d), two.begin(t, s, d)
	for _, m := range []struct {
		measurement
		asked float64
	}{{first.end(), 4e6}, {second.end(), 16e6}} {
		// After this time the burst is used up.
		if ratio := m.rate(1000, 3000) / m.asked; ratio < 0.93 || ratio > 1.03 {
			t.Errorf("%v of the %v bit/s that were asked for; want 0.93 to 1.03", ratio, m.asked)
		}
	}
}

// TestBandwidthUpdate changes a limit under two flows, removes it, and sets it again. With BANDWIDTH_PLOT=FILE it draws the
// rates to that file.
func TestBandwidthUpdate(t *testing.T) {
	needUnified(t)
	peer := newContainer(t, args("sleep", "1000"))
	peer.up()
	p := newPair(t, peer, 1)
	if s := p.limited.bandwidth(); s.Egress != nil || s.Ingress != nil {
		t.Errorf("limits before there are any: %+v", s)
	}
	update := func(flags ...string) { p.limited.must(append(append([]string{"update"}, flags...), p.limited.id)...) }
	update("--network-egress", "4mbit:64k", "--network-ingress", "8mbit:64k")
	d := 7 * time.Second
	out := p.begin(t, stream{protocol: "udp", flows: 1, bits: 40e6}, d)
	in := p.begin(t, stream{protocol: "udp", flows: 1, bits: 40e6, inward: true}, d)
	time.Sleep(2200 * time.Millisecond)
	update("--network-egress=20mbit:64k")
	time.Sleep(2200 * time.Millisecond)
	update("--network-egress", "8mbit:64k", "--network-ingress", "-1")
	if s := p.limited.bandwidth(); s.Egress == nil || s.Egress.Rate != 8e6 || s.Egress.Burst != 64<<10 || s.Egress.Bytes == 0 || s.Ingress != nil {
		t.Errorf("limits after the last update: %+v; want 8 Mbit/s out with the counters of before, and none in", s.Egress)
	}
	outward, inward := out.end(), in.end()
	for _, part := range []struct {
		name        string
		m           measurement
		from, until float64
		want, least float64
	}{
		{"out at 4 Mbit/s", outward, 500, 1900, 4e6, 0.88},
		{"out at 20 Mbit/s", outward, 2800, 4100, 20e6, 0.88},
		{"out at 8 Mbit/s", outward, 5300, 7000, 8e6, 0.88},
		{"in at 8 Mbit/s", inward, 500, 4000, 8e6, 0.88},
		{"in without a limit", inward, 5300, 6900, 40e6, 0.4}, // only the sender limits the rate; it is slower on a busy machine
	} {
		if ratio := part.m.rate(part.from, part.until) / part.want; ratio < part.least || ratio > 1.1 {
			t.Errorf("%s: %v of that; want %v to 1.1", part.name, ratio, part.least)
		}
	}
	writePlot(t, outward, inward)
}

// writePlot draws the rate of each stream in every half second, 40 Mbit/s high.
func writePlot(t *testing.T, all ...measurement) {
	t.Helper()
	file := os.Getenv("BANDWIDTH_PLOT")
	if file == "" {
		return
	}
	const width, height, step = 700, 320, 500
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-50 -20 %d %d" font-family="sans-serif" font-size="13">`+"\n", width+70, height+70)
	fmt.Fprintf(&b, `<rect x="-50" y="-20" width="%d" height="%d" fill="white"/>`+"\n", width+70, height+70)
	for rate := 0; rate <= 40; rate += 10 {
		y := height - rate*height/40
		fmt.Fprintf(&b, `<path d="M0 %d H%d" stroke="#ccc"/><text x="-8" y="%d" text-anchor="end">%d</text>`+"\n", y, width, y+4, rate)
	}
	for i, m := range all {
		colour, name := []string{"#0b62a4", "#c1440e"}[i], []string{"sent", "received"}[i]
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s, Mbit/s</text><path fill="none" stroke-width="2" stroke="%s" d="`, 10+i*150, height+42, colour, name, colour)
		for at := 0; at+step <= 7000; at += step {
			y := max(height-m.rate(float64(at), float64(at+step))/1e6*height/40, 0)
			fmt.Fprintf(&b, "%c%d %.0fH%d", "ML"[min(at, 1)], at*width/7000, y, (at+step)*width/7000)
		}
		b.WriteString("\"/>\n")
	}
	for s := 0; s <= 7; s++ {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%d s</text>`+"\n", s*width/7, height+20, s)
	}
	b.WriteString("</svg>\n")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBandwidthOfLoopback checks that packets on lo are neither limited nor counted.
func TestBandwidthOfLoopback(t *testing.T) {
	needUnified(t)
	c := newContainer(t, args("sleep", "1000"), annotation(egressLimit, "1mbit"), annotation(ingressLimit, "1mbit"))
	c.up()
	p := pair{limited: c, peer: c}
	receiver := c.begin("exec", c.id, "probe", "receive", "tcp", "5000", "1000")
	eventually(t, "the receiver is ready", func() bool { return strings.Contains(contents(receiver.out), "ready") })
	sender := c.begin("exec", c.id, "probe", "send", "tcp", "127.0.0.1", "5000", "1", "2000", "0")
	w := traffic{stream{protocol: "tcp", flows: 1}, t, receiver, sender}
	if rate := w.end().rate(0, 1000); rate < 50e6 {
		t.Errorf("%v bit/s over the loopback interface; want many times the limit of 1 Mbit/s", rate)
	}
	if s := p.limited.bandwidth(); s.Egress.Bytes != 0 || s.Ingress.Bytes != 0 {
		t.Errorf("counted %+v, %+v; want nothing", *s.Egress, *s.Ingress)
	}
}

// TestBandwidthRefused checks that a refused change is one line of error and that the old limits stay.
func TestBandwidthRefused(t *testing.T) {
	needUnified(t)
	for _, value := range []string{"0", "0mbit", "-1", "-3mbit", "10", "10mb", "10 mbit", "99999999999999999999tbit", "10mbit:0k", "10mbit:7"} {
		newContainer(t, annotation(egressLimit, value)).runFails().has(t, "/annotations/"+egressLimit, "", "is not a bandwidth: ")
	}
	c := newContainer(t, annotation(egressLimit, "5mbit:100k"))
	c.up()
	for _, value := range []string{"0", "-2", "10", "10mb", "99999999999999999999tbit"} {
		if r := c.verb("update", "--network-egress", value, c.id); r.code != 1 || !strings.Contains(r.err, "invalid value for network-egress: ") {
			t.Errorf("%v; want exit status 1, and the flag that is wrong", r)
		}
	}
	// The kernel refuses the memory limit after the bandwidth has been changed.
	refused(t, c.verb("update", "--network-egress", "7mbit", "--network-ingress", "7mbit", "--unified", "nosuch.max=1", c.id), 1, "nosuch")
	if s := c.bandwidth(); s.Egress == nil || s.Egress.Rate != 5e6 || s.Egress.Burst != 100<<10 || s.Ingress != nil {
		t.Errorf("limits after refused updates: %+v, %+v; want 5 Mbit/s out, and none in", s.Egress, s.Ingress)
	}
	c.wrapper = []string{"setpriv", "--bounding-set", "-bpf,-sys_admin,-perfmon"}
	refused(t, c.verb("update", "--network-egress", "7mbit", c.id), 1, "CAP_BPF and CAP_NET_ADMIN")
	c.wrapper = nil
	if s := c.bandwidth(); s.Egress == nil || s.Egress.Rate != 5e6 {
		t.Errorf("limit after an update without the right to: %+v; want 5 Mbit/s", s.Egress)
	}
}

// TestBandwidthPlan checks that the plan shows the step, check names a missing requirement, and features names the
// annotations.
func TestBandwidthPlan(t *testing.T) {
	needUnified(t)
	c := newContainer(t, annotation(egressLimit, "10mbit:256k"), annotation(ingressLimit, "50mbit"))
	const step = "limit egress to 10mbit:256k, ingress to 50mbit:1875000b"
	if r := c.must("plan", "--bundle", c.bundle); !strings.Contains(r.out, step) {
		t.Errorf("%v; want the step %q", r, step)
	}
	if r := c.verb("features"); !strings.Contains(r.out, egressLimit) || !strings.Contains(r.out, ingressLimit) {
		t.Errorf("features does not name the annotations:\n%s", r.out)
	}
	c.wrapper = []string{"setpriv", "--bounding-set", "-bpf,-sys_admin,-perfmon"}
	if r := c.verb("check", c.bundle); r.code == 0 || !strings.Contains(r.out+r.err, "CAP_BPF and CAP_NET_ADMIN") {
		t.Errorf("check without CAP_BPF: %v; want the capabilities that it takes", r)
	}
}
