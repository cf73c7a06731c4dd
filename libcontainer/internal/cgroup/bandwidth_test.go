package cgroup

import (
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelBandwidthPrograms passes the programs to the kernel's verifier.
func TestKernelBandwidthPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, d := range []direction{egress, ingress} {
		m, err := newBucket(d.hook().name)
		if err != nil {
			t.Fatalf("a map for %v: %v", d, err)
		}
		for _, b := range []Bandwidth{{1000, 1}, {10_000_000, 250_000}, {1e12, 1 << 30}} {
			fd, err := d.hook().load(d.program(b, m))
			if err != nil {
				t.Errorf("%v program of %+v: %v", d, b, err)
				continue
			}
			unix.Close(fd)
		}
		unix.Close(m)
	}
	mark, priority := uint32(0x100001), uint32(7)
	for _, p := range [][]instruction{socketProgram(&mark, nil), socketProgram(nil, &priority), socketProgram(&mark, &priority)} {
		fd, err := socketHook().load(p)
		if err != nil {
			t.Errorf("socket program %v: %v", p, err)
			continue
		}
		unix.Close(fd)
	}
}

// networkPrograms returns the text of the programs in the golden file.
func networkPrograms() string {
	mark, priority := uint32(0x100001), uint32(3)
	limit := Bandwidth{Rate: 10_000_000, Burst: 250_000}
	return fmt.Sprintf("egress, 10 Mbit/s, a burst of 250000 bytes (200 ms):\n%s\ningress, likewise:\n%s\nsocket, mark 0x100001, priority 3:\n%s",
		programText(egress.program(limit, 3)), programText(ingress.program(limit, 3)), programText(socketProgram(&mark, &priority)))
}

var update = flag.Bool("update", false, "write the golden files")

// TestNetworkProgramTexts compares the instructions with the golden file.
func TestNetworkProgramTexts(t *testing.T) {
	const golden = "testdata/network.txt"
	got := networkPrograms()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if os.IsNotExist(err) {
		t.Skip("the sources are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("programs:\n%s\nwant those of %s", got, golden)
	}
}

func TestBurstTime(t *testing.T) {
	for b, want := range map[Bandwidth]uint64{
		{Rate: 10_000_000, Burst: 250_000}: 200e6,
		{Rate: 1000, Burst: 1 << 30}:       8589934592000000,
		{Rate: 1e12, Burst: 1500}:          12,
	} {
		if got := b.burstTime(); got != want {
			t.Errorf("%+v.burstTime() = %d; want %d", b, got, want)
		}
	}
}

// TestKernelBucketRescales checks that at ten times the rate the lag shrinks to a tenth.
func TestKernelBucketRescales(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	fd, err := newBucket("test")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b, err := mapBucket(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer b.unmap()
	clock := func() uint64 {
		var ts unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
		return uint64(ts.Nano())
	}
	atomic.StoreUint64(b.word(bucketTime), clock()+10e9)
	if err := b.rescale(1e6, 1e7); err != nil {
		t.Fatal(err)
	}
	if lag := float64(b.load(bucketTime)-clock()) / 1e9; lag < 0.5 || lag > 1 {
		t.Errorf("lag after ten times the rate = %v s; want 1", lag)
	}
	atomic.StoreUint64(b.word(bucketTime), 5)
	if err := b.rescale(1e6, 1e7); err != nil || b.load(bucketTime) != 5 {
		t.Errorf("a full bucket is %d after rescale, %v; want 5, as before", b.load(bucketTime), err)
	}
}
