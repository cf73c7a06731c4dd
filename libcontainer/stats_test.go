package libcontainer

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestParseInterfaces(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1296      16    0    0    0     0          0         0     1297      17    0    0    0     0       0          0
eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
short: 1 2 3
`
	got := parseInterfaces([]byte(text))
	want := []InterfaceStats{
		{Name: "lo", RxBytes: 1296, RxPackets: 16, TxBytes: 1297, TxPackets: 17},
		{Name: "eth0", RxBytes: 1, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 9, TxPackets: 10, TxErrors: 11, TxDropped: 12},
	}
	if !slices.Equal(got, want) {
		t.Errorf("parseInterfaces = %+v; want %+v", got, want)
	}
}

// Engines decode events into their own types: go-runc decodes them into runc.Stats.
func TestStatsHaveRuncsNames(t *testing.T) {
	text, err := json.Marshal(Stats{Interfaces: []InterfaceStats{{Name: "lo"}}})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"} {
		if _, ok := m[name]; !ok {
			t.Errorf("no %q in %s", name, text)
		}
	}
	const want = `[{"Name":"lo","RxBytes":0,"RxPackets":0,"RxErrors":0,"RxDropped":0,"TxBytes":0,"TxPackets":0,"TxErrors":0,"TxDropped":0}]`
	if got := string(m["network_interfaces"]); got != want {
		t.Errorf("network_interfaces = %s; want %s", got, want)
	}
}
