package specconv

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Bandwidth limits network traffic in one direction. The zero Bandwidth means no
// limit.
type Bandwidth struct {
	Rate  uint64 // bits a second
	Burst uint64 // bytes that may pass at once
}

// Bounds of the parameters. The programs divide times by rates. At the highest
// rate a packet of 1500 bytes takes 12 ns. At the lowest rate the longest burst
// takes 99 days, which fits a 64-bit clock.
const (
	minRate  = 1e3
	maxRate  = 1e12
	minBurst = 1500
	maxBurst = 1 << 30
)

// The default burst is 300 ms of the rate. After a drop, TCP between near hosts
// waits for 200 ms or more (TCP_RTO_MIN). Only a burst after that pause makes up
// for it.
const (
	burstParts      = 3 // of the burstOf parts of a second
	burstOf         = 10
	minDefaultBurst = 16 << 10
)

// ParseBandwidth parses RATE or RATE:BURST. RATE is in bits per second and has a
// unit of tc(8), based on 1000: bit, kbit, mbit, gbit or tbit. BURST is in bytes
// and has a unit based on 1024: b, k, m or g, or kb, kib, ... . Both may have a
// decimal point.
func ParseBandwidth(text string) (Bandwidth, error) {
	rateText, burstText, hasBurst := strings.Cut(text, ":")
	rate, ok := scaled(rateText, rateUnit)
	switch {
	case !ok:
		return Bandwidth{}, fmt.Errorf("%q is not a rate with a unit (bit, kbit, mbit, gbit, tbit), such as 10mbit", rateText)
	case rate < minRate || rate > maxRate:
		return Bandwidth{}, fmt.Errorf("%q is not from 1kbit to 1tbit", rateText)
	}
	b := Bandwidth{Rate: uint64(rate)}
	if !hasBurst {
		b.Burst = min(max(b.Rate/8*burstParts/burstOf, minDefaultBurst), maxBurst)
		return b, nil
	}
	burst, ok := scaled(burstText, sizeUnit)
	switch {
	case !ok:
		return Bandwidth{}, fmt.Errorf("%q is not a burst with a unit (b, k, m, g), such as 256k", burstText)
	case burst < minBurst || burst > maxBurst:
		return Bandwidth{}, fmt.Errorf("%q is not from 1500b to 1g", burstText)
	}
	b.Burst = uint64(burst)
	return b, nil
}

// scaled parses a number with a unit and returns their product.
func scaled(text string, unit func(string) float64) (float64, bool) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	factor := unit(strings.ToLower(text[len(number):]))
	if factor == 0 || number == "" || strings.Trim(number, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(number, 64)
	return n * factor, err == nil
}

// rateUnit returns the factor of a unit, 0 for an unknown one.
func rateUnit(unit string) float64 {
	switch unit {
	case "bit":
		return 1
	case "kbit":
		return 1e3
	case "mbit":
		return 1e6
	case "gbit":
		return 1e9
	case "tbit":
		return 1e12
	}
	return 0
}

func sizeUnit(unit string) float64 {
	switch unit {
	case "b":
		return 1
	case "k", "kb", "kib":
		return 1 << 10
	case "m", "mb", "mib":
		return 1 << 20
	case "g", "gb", "gib":
		return 1 << 30
	}
	return 0
}

// String returns the limit in a form that ParseBandwidth accepts, or "none".
func (b Bandwidth) String() string {
	if b.Rate == 0 {
		return "none"
	}
	return rateText(b.Rate) + ":" + sizeText(b.Burst)
}

// rateText uses the largest unit that divides the rate.
func rateText(rate uint64) string {
	for _, unit := range []string{"bit", "kbit", "mbit", "gbit"} {
		if rate%1000 != 0 {
			return strconv.FormatUint(rate, 10) + unit
		}
		rate /= 1000
	}
	return strconv.FormatUint(rate, 10) + "tbit"
}

func sizeText(size uint64) string {
	for _, unit := range []string{"b", "k", "m"} {
		if size%1024 != 0 {
			return strconv.FormatUint(size, 10) + unit
		}
		size /= 1024
	}
	return strconv.FormatUint(size, 10) + "g"
}

// Bandwidths returns the limits of the annotations. A missing limit is zero. The
// caller has checked the configuration with Validate.
func Bandwidths(s *specs.Spec) (egress, ingress Bandwidth) {
	if text, ok := s.Annotations[NetworkEgress]; ok {
		egress, _ = ParseBandwidth(text)
	}
	if text, ok := s.Annotations[NetworkIngress]; ok {
		ingress, _ = ParseBandwidth(text)
	}
	return egress, ingress
}

func checkBandwidth(value string) string {
	if _, err := ParseBandwidth(value); err != nil {
		return "is not a bandwidth: " + err.Error()
	}
	return ""
}
