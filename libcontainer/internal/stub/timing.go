package stub

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timing says what a stub stamps the calls of a batch with. Each is a text of
// its own, so a stub that does not stamp has no instruction for it.
type Timing uint8

const (
	// Untimed is the stub of every day.
	Untimed Timing = iota
	// Counter is the machine's own: the time-stamp counter of amd64, the
	// virtual counter of arm64. Reading it takes nanoseconds.
	Counter
	// Clock is clock_gettime(2) of CLOCK_REALTIME, for machines whose counter
	// stops or differs between processors. The monotonic clocks are those of
	// the time namespace that the stub is in (time_namespaces(7)).
	Clock
)

const stampClock = unix.CLOCK_REALTIME

func (t Timing) text() unsafe.Pointer {
	switch t {
	case Counter:
		return counterTextAddr()
	case Clock:
		return clockTextAddr()
	}
	return textAddr()
}

// Stamp reads a stamp: what the counter says, or nanoseconds since 1970. 0 is
// one that was not written. The stub's word is all there is for it.
func (t Timing) Stamp(b []byte) int64 {
	v := int64(le.Uint64(b))
	if t == Clock {
		return v*1e9 + int64(le.Uint64(b[8:]))
	}
	return v
}
