package stub

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Timing is the clock that a stub uses to stamp the calls of a batch. Each clock has its
// own machine code, so a stub without stamps has no instruction for them.
type Timing uint8

const (
	// Untimed is the normal stub, without stamps.
	Untimed Timing = iota
	// Counter is the machine's counter, for example the time-stamp counter of amd64 or
	// the virtual counter of arm64. Reading it takes nanoseconds.
	Counter
	// Clock is clock_gettime(2) of CLOCK_REALTIME. It is for machines whose counter
	// stops or differs between processors. The monotonic clocks are no alternative:
	// they depend on the stub's time namespace (time_namespaces(7)).
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

// Stamp decodes a stamp: the value of the counter, or nanoseconds since 1970. 0 means
// that the stub has not written it. The value comes from the stub and is not verified.
func (t Timing) Stamp(b []byte) int64 {
	v := int64(ne.Uint64(b))
	if t == Clock {
		return v*1e9 + int64(ne.Uint64(b[8:]))
	}
	return v
}
