package stub

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stamped is like batch, with the stamps behind the results as the only bytes to read back.
func stamped(calls []Call) []byte {
	b := batch(calls, nil, StampSize*(1+len(calls)))
	PutHeader(b, uint32(len(calls)), HeaderSize+CallSize*len(calls), 8*len(calls)+StampSize*(1+len(calls)), HeaderSize+(CallSize+8)*len(calls))
	return b
}

// doStamped executes the calls and returns the stamps of the batch.
func (p *process) doStamped(timing Timing, calls []Call) []int64 {
	p.t.Helper()
	if err := unix.Send(p.sock, stamped(calls), 0); err != nil {
		p.t.Fatal(err)
	}
	reply := make([]byte, (8+StampSize)*len(calls)+StampSize)
	if n, _, err := unix.Recvfrom(p.sock, reply, 0); err != nil || n != len(reply) {
		p.t.Fatalf("reply of %d bytes, %v; want %d", n, err, len(reply))
	}
	out := make([]int64, 1+len(calls))
	for i := range out {
		out[i] = timing.Stamp(reply[8*len(calls)+StampSize*i:])
	}
	return out
}

var timings = map[string]Timing{"counter": Counter, "clock": Clock}

func TestStampsAreInOrder(t *testing.T) {
	pid := Call{Nr: unix.SYS_GETPID}
	for name, timing := range timings {
		t.Run(name, func(t *testing.T) {
			p := startTimed(t, timing)
			last := int64(1)
			for range 3 {
				for i, s := range p.doStamped(timing, []Call{pid, pid, pid}) {
					if s < last {
						t.Fatalf("stamp %d = %d, after %d", i, s, last)
					}
					last = s
				}
			}
		})
	}
}

func TestOnlyExecutedCallsAreStamped(t *testing.T) {
	calls := []Call{
		{Nr: unix.SYS_GETPID, OnPos: 1},
		{Nr: unix.SYS_GETPID},
		{Nr: unix.SYS_CLOSE, Args: [6]uint64{1 << 20}},
		{Nr: unix.SYS_GETPID},
	}
	for name, timing := range timings {
		t.Run(name, func(t *testing.T) {
			got := startTimed(t, timing).doStamped(timing, calls)
			for i, want := range []bool{true, true, false, true, false} {
				if is := got[i] != 0; is != want {
					t.Errorf("stamp %d = %d; want one: %v", i, got[i], want)
				}
			}
		})
	}
}

func TestAStampIsWhenTheCallReturned(t *testing.T) {
	p := startTimed(t, Clock)
	before := time.Now().UnixNano()
	got := p.doStamped(Clock, []Call{{Nr: unix.SYS_GETPID}})
	after := time.Now().UnixNano()
	if got[0] < before || got[1] > after {
		t.Errorf("stamps %v; want them from %d to %d", got, before, after)
	}
}

// TestUnstamped: a stub that can stamp does not change a batch without stamps. The normal stub never writes stamps.
func TestUnstamped(t *testing.T) {
	pid := Call{Nr: unix.SYS_GETPID}
	for name, timing := range timings {
		t.Run(name, func(t *testing.T) {
			p := startTimed(t, timing)
			if got, back := p.do([]Call{pid}, nil, StampSize*2); got[0] != int64(p.cmd.Process.Pid) || string(back) != string(make([]byte, StampSize*2)) {
				t.Errorf("getpid = %d, %x behind it; want %d, zeroes", got[0], back, p.cmd.Process.Pid)
			}
		})
	}
	if got := start(t).doStamped(Clock, []Call{pid}); got[0] != 0 || got[1] != 0 {
		t.Errorf("stamps of the stub of every day = %v; want none", got)
	}
}

// TestTimedStubsAreTheStub: the loop does the same in all three variants.
func TestTimedStubsAreTheStub(t *testing.T) {
	for name, timing := range timings {
		t.Run(name, func(t *testing.T) {
			p := startTimed(t, timing)
			calls := []Call{
				{Nr: unix.SYS_CLONE, OnPos: 1, Args: fork()},
				{Nr: unix.SYS_EXIT_GROUP, Args: [6]uint64{42}},
				{Nr: unix.SYS_WAIT4, Loads: 1, Args: [6]uint64{loadAddr(3, 0, 0)}},
			}
			got := p.doStamped(timing, calls)
			if got[1] == 0 || got[2] != 0 || got[3] < got[1] {
				t.Errorf("stamps of clone, exit_group in the child, wait4 = %v", got[1:])
			}
		})
	}
}
