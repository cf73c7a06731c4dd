package specconv

import "testing"

func TestParseBandwidth(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Bandwidth
	}{
		{"10mbit", Bandwidth{10_000_000, 375_000}},
		{"10Mbit:256k", Bandwidth{10_000_000, 256 << 10}},
		{"1.5gbit", Bandwidth{1_500_000_000, 56_250_000}},
		{"1kbit", Bandwidth{1000, 16 << 10}},
		{"1000bit:1500b", Bandwidth{1000, 1500}},
		{"1tbit", Bandwidth{1e12, 1 << 30}},
		{"8mbit:1MiB", Bandwidth{8_000_000, 1 << 20}},
	} {
		if got, err := ParseBandwidth(tt.text); got != tt.want || err != nil {
			t.Errorf("ParseBandwidth(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
		}
		if got, err := ParseBandwidth(tt.want.String()); got != tt.want || err != nil {
			t.Errorf("ParseBandwidth(%q) = %+v, %v; want what it was made from, %+v", tt.want.String(), got, err, tt.want)
		}
	}
}

func TestParseBandwidthRefuses(t *testing.T) {
	for _, text := range []string{
		"", "0", "0mbit", "-1", "-5mbit", "10", "10mb", "10mbps", "10mbit/s", "10 mbit", "mbit", ".mbit", "1.2.3mbit",
		"999bit", "1.1tbit", "99999999999999999999999999tbit", "1e3mbit", "0x10mbit", "infmbit", "nanmbit", "+1mbit",
		"10mbit:", "10mbit:256", "10mbit:0k", "10mbit:-1k", "10mbit:1b", "10mbit:2g", "10mbit:256q", "10mbit:1k:1k", "10mbit\n",
	} {
		if got, err := ParseBandwidth(text); err == nil {
			t.Errorf("ParseBandwidth(%q) = %+v; want an error", text, got)
		}
	}
}

// FuzzParseBandwidth checks that an accepted limit is in range, and that parsing
// its text returns it again.
func FuzzParseBandwidth(f *testing.F) {
	for _, text := range []string{"10mbit", "1.5gbit:256k", "-1", "1kbit:1500b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBandwidth(text)
		if err != nil {
			return
		}
		if b.Rate < minRate || b.Rate > maxRate || b.Burst < minBurst || b.Burst > maxBurst {
			t.Errorf("ParseBandwidth(%q) = %+v, out of range", text, b)
		}
		if again, err := ParseBandwidth(b.String()); again != b || err != nil {
			t.Errorf("ParseBandwidth(%q) = %+v, %v; want %+v", b.String(), again, err, b)
		}
	})
}
