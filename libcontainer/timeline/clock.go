package timeline

import (
	"os"
	"slices"
	"strings"
	"time"
)

// clock is what both sides can read: the machine's counter, as that is one
// instruction, or CLOCK_REALTIME, as its other clocks are the time namespace's.
type clock struct{ counter bool }

// counter reads the machine's counter, as the stub does.
func counter() int64

// findClock takes the counter where the kernel keeps time with it, or could: it
// strikes one that stops or differs between processors off this list.
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

// pair is one moment on two clocks.
type pair struct {
	ticks int64
	time  time.Time
}

// pair reads both clocks. What an interrupt between the readings would do to
// them, it does not do three times.
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

// scale turns ticks into nanoseconds after its beginning.
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
