package criu

import (
	"encoding/hex"
	"testing"
)

// recordedStats is the stats-dump of a small shell, written by CRIU 4.2.1.
const recordedStats = "4059105506330957220000000a2008ad11108ad10118da042071283a3000381e4000480050065806600068007000"

func TestPagesWritten(t *testing.T) {
	good, err := hex.DecodeString(recordedStats)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := PagesWritten(good); got != 30 || err != nil {
		t.Errorf("PagesWritten = %d, %v; want 30", got, err)
	}
	other := append([]byte(nil), good...)
	other[0] ^= 1
	for name, bad := range map[string][]byte{"empty": nil, "header": good[:12], "truncated": good[:len(good)-1], "longer": append(good[:len(good):len(good)], 0), "another file": other} {
		if n, err := PagesWritten(bad); err == nil {
			t.Errorf("%s: PagesWritten = %d; want an error", name, n)
		}
	}
}

func FuzzPagesWritten(f *testing.F) {
	good, _ := hex.DecodeString(recordedStats)
	f.Add(good)
	f.Fuzz(func(t *testing.T, stats []byte) {
		if n, err := PagesWritten(stats); err != nil && n != 0 {
			t.Errorf("PagesWritten = %d with the error %v", n, err)
		}
	})
}
