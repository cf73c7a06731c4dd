package timeline

import (
	"os"
	"slices"
	"strings"
	"time"
)

// clock is a time source that both sides can read. It is the machine's counter,
// which takes one instruction, or CLOCK_REALTIME. The monotonic clocks are not
// comparable: a time namespace shifts them (time_namespaces(7)).
type clock struct{ counter bool }

// findClock chooses the counter where the kernel offers it as a clock source.
// The kernel removes a counter from that list when it stops or differs between
// processors.
func findClock() clock {
	list, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/available_clocksource")
	return clock{err == nil && slices.Contains(strings.Fields(string(list)), clocksource)}
}

func (c clock) now() int64 {
	if c.counter {
		return counter()
	}
	return time.Now().UnixNano()
}

// pair is one moment, read on two clocks.
type pair struct {
	ticks int64
	time  time.Time
}

// pair reads both clocks. It reads three times and keeps the closest pair, so
// that one interrupt between two readings does no harm.
func (c clock) pair() (best pair) {
	shortest := int64(1<<63 - 1)
	for range 3 {
		before := c.now()
		t := time.Now()
		if d := c.now() - before; d < shortest {
			shortest, best = d, pair{before + d/2, t}
		}
	}
	return best
}

// scale converts ticks to nanoseconds since the start of the recording.
type scale struct {
	begin pair
	rate  float64 // nanoseconds a tick
}

func (c clock) scale(begin, end pair) scale {
	s := scale{begin, 1}
	if ticks := end.ticks - begin.ticks; c.counter && ticks > 0 {
		s.rate = float64(end.time.Sub(begin.time)) / float64(ticks)
	}
	return s
}

func (s scale) nanoseconds(ticks int64) int64 {
	return int64(float64(ticks-s.begin.ticks) * s.rate)
}
