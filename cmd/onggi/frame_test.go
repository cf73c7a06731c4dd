package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onggi-dev/onggi/libcontainer"
)

func TestBytesText(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0B", 1: "1B", 999: "999B", 1000: "1.0K", 1024: "1.0K", 1536: "1.5K", 102300: "99.9K", 102399: "100K",
		512 << 20: "512M", 1000 << 20: "1.0G", 5 << 40: "5.0T", 1 << 60: "1024P",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%v) = %q; want %q", n, got, want)
		}
	}
}

func measured() []usage {
	return []usage{
		{id: "database", status: "running", cpu: 199.96, memory: 3 << 30, limit: 4 << 30, pids: 25, pidsMax: 100, read: 1 << 20, written: 2048, pressure: [3]float64{1.25, 0, 99.99}},
		{id: "web", status: "paused", memory: 5 << 20, pids: 1, pidsMax: 4194304},
		{id: strings.Repeat("0123456789abcdef", 4), status: "running", cpu: 0.04},
	}
}

func TestUsageLine(t *testing.T) {
	want := []string{
		"CONTAINER         CPU%  MEMORY   LIMIT    PIDS  READ/s WRITE/s P.CPU P.MEM  P.IO",
		"database         200.0    3.0G    4.0G  25/100    1.0M    2.0K   1.2   0.0 100.0",
		"web             paused    5.0M       -       1      0B      0B   0.0   0.0   0.0",
		"0123456789abc…     0.0      0B       -       0      0B      0B   0.0   0.0   0.0",
	}
	got := []string{heading(80, figures)}
	for _, u := range measured() {
		got = append(got, u.line(80, figures))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d:\n%q; want\n%q", i, got[i], want[i])
		}
	}
}

// A frame fits into a terminal of any size.
func TestFrameFits(t *testing.T) {
	for width := 1; width < 200; width += 13 {
		for height := 1; height < 8; height++ {
			lines := frame(measured(), byName, time.Now(), width, height)
			if len(lines) > height {
				t.Errorf("%d lines on a screen of %d", len(lines), height)
			}
			for _, line := range lines {
				shown := strings.NewReplacer(reverse, "", plain, "").Replace(line)
				if n := utf8.RuneCountInString(shown); n > width {
					t.Errorf("%d columns on a screen of %d: %q", n, width, line)
				}
			}
		}
	}
	if lines := frame(measured(), byName, time.Now(), 80, 4); lines[3] != "2 more" {
		t.Errorf("last line = %q; want what is hidden", lines[3])
	}
	if lines := frame(measured(), byName, time.Now(), 80, 5); !strings.HasPrefix(lines[4], "web") {
		t.Errorf("last line = %q; want the last container", lines[4])
	}
}

func TestOrder(t *testing.T) {
	for by, want := range map[order]string{byCPU: "d0w", byMemory: "dw0", byName: "0dw"} {
		all := measured()
		by.sort(all)
		got := ""
		for _, u := range all {
			got += u.id[:1]
		}
		if got != want {
			t.Errorf("sorted by %c: %s; want %s", by, got, want)
		}
	}
}

func TestUsageOf(t *testing.T) {
	born, at := time.Unix(100, 0), time.Unix(200, 0)
	s := &libcontainer.Stats{}
	s.CPU.Usage.Total = 5e9
	s.Memory.Usage = libcontainer.MemoryUse{Usage: 100, Limit: 1<<63 - 4096}
	s.Memory.Raw = map[string]uint64{"total_inactive_file": 30, "inactive_file": 10}
	s.BlockIO.ServiceBytes = []libcontainer.BlockIOEntry{{Op: "Read", Value: 1000}, {Op: "Write", Value: 3000}, {Op: "Sync", Value: 9}, {Op: "Read", Value: 1000}}
	s.CPU.Pressure = &libcontainer.Pressures{Some: &libcontainer.Pressure{Avg10: 1.5}}
	now := countersOf(s, born, at)
	last := counters{created: born, at: at.Add(-2 * time.Second), cpu: 4e9, read: 1000, written: 2000}

	got := usageOf(libcontainer.State{ID: "c", Status: "running"}, s, last, now)
	want := usage{id: "c", status: "running", cpu: 50, memory: 70, read: 500, written: 500, pressure: [3]float64{1.5, 0, 0}}
	if got != want {
		t.Errorf("usageOf = %+v; want %+v", got, want)
	}
	last.created = born.Add(-time.Second)
	if got := usageOf(libcontainer.State{ID: "c", Status: "running"}, s, last, now); got.cpu != 0 || got.read != 0 {
		t.Errorf("usageOf of another container with the id = %+v; want no rates", got)
	}
}

// In a pipe no id is cut, and the table is only as wide as the longest id needs.
func TestPrintUsageIsAsWideAsItsIDs(t *testing.T) {
	long := strings.Repeat("c0ffee99", 8)
	for _, tt := range []struct {
		ids  []string
		want int
	}{
		{nil, figures + fewest},
		{[]string{"web"}, figures + fewest},
		{[]string{"web", long}, figures + len(long)},
	} {
		var all []usage
		for _, id := range tt.ids {
			all = append(all, usage{id: id, status: "running"})
		}
		var b strings.Builder
		if err := printUsage(&b, all); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 1+len(all) {
			t.Errorf("%d containers are %d lines", len(all), len(lines))
		}
		for i, line := range lines {
			if len(line) != tt.want {
				t.Errorf("%v: line %d has %d columns; want %d:\n%s", tt.ids, i, len(line), tt.want, line)
			}
			if i > 0 && strings.Fields(line)[0] != tt.ids[i-1] {
				t.Errorf("%v: line %d is about %q", tt.ids, i, strings.Fields(line)[0])
			}
		}
	}
}

func TestUsageLineOfLimitedTraffic(t *testing.T) {
	all := measured()[:2]
	all[0].limited, all[0].traffic = true, trafficRates{sent: 1.25e6, received: 2048, packets: 861.4, dropped: 12, marked: 3}
	want := []string{
		"CONTAINER       CPU%  MEMORY   LIMIT    PIDS  READ/s WRITE/s P.CPU P.MEM  P.IO  SENT/s  RECV/s  PKTS/s  DROP/s  MARK/s",
		"database       200.0    3.0G    4.0G  25/100    1.0M    2.0K   1.2   0.0 100.0    1.2M    2.0K     861      12       3",
		"web           paused    5.0M       -       1      0B      0B   0.0   0.0   0.0       -       -       -       -       -",
	}
	width := figuresOf(all)
	got := []string{heading(118, width)}
	for _, u := range all {
		got = append(got, u.line(118, width))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d:\n%q; want\n%q", i, got[i], want[i])
		}
	}
}
