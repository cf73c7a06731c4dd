package systemd

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWeights(t *testing.T) {
	sys := t.TempDir()
	for device, text := range map[string]string{"7:0": "MAJOR=7\nMINOR=0\nDEVNAME=loop0\n", "8:0": "DEVNAME=disk/a\n", "9:0": "MAJOR=9\n"} {
		dir := filepath.Join(sys, "dev/block", device)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "uevent"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ config, want string }{
		{`{}`, ""},
		{`{"blockIO":{"weight":0,"weightDevice":[{"major":7,"minor":0,"weight":0}]}}`, ""},
		{`{"blockIO":{"weight":300}}`, "IOWeight=2300"},
		{`{"blockIO":{"weightDevice":[{"major":7,"minor":0,"weight":10},{"major":8,"minor":0,"weight":1000},{"major":9,"minor":0,"weight":10},{"major":10,"minor":0,"weight":10}]}}`, "IODeviceWeight=[[/dev/loop0 10] [/dev/disk/a 10000]]"},
	} {
		if got := printed(Weights(parseResources(t, test.config).BlockIO, sys)); got != test.want {
			t.Errorf("Weights(%s) = %q; want %q", test.config, got, test.want)
		}
	}
}

// systemdBFQ is BFQ_WEIGHT of systemd's src/core/cgroup.h, written from its description: two lines that meet at 100.
func systemdBFQ(w uint64) uint64 {
	if w <= 100 {
		return 100 - (100-w)*99/99
	}
	return 100 + (w-100)*900/9900
}

func TestBeforeBFQ(t *testing.T) {
	for w := uint16(1); w <= 1000; w++ {
		if got := systemdBFQ(beforeBFQ(w)); got != uint64(w) {
			t.Errorf("of %d for %d, systemd makes %d", beforeBFQ(w), w, got)
		}
	}
}
