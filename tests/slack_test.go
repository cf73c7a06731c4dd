package tests

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTimerSlackIsTheCallers checks the timer slack of all programs that the runtime starts. It must be the caller's, although
// the runtime's own threads have another one.
func TestTimerSlackIsTheCallers(t *testing.T) {
	const slack = 123_456
	runtime.LockOSThread() // this thread starts the runtime
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	setSlack(t, slack)
	defer setSlack(t, uintptr(before))

	show := "cat /proc/self/timerslack_ns"
	c, log := withHooks(t, "$("+show+")")
	c.edit(sh("echo process $(" + show + ") >> /log/log; exec sleep 1000"))
	c.up()
	for range 3 {
		want(t, "exec", strings.TrimSpace(c.execOutput(nil, "sh", "-c", show)), strconv.Itoa(slack))
	}
	eventually(t, "the process runs", func() bool { return slices.Contains(log(), "process") })
	c.must("delete", "--force", c.id)
	var shown []string
	for _, word := range log() {
		if _, err := strconv.Atoi(word); err == nil {
			shown = append(shown, word)
		}
	}
	want(t, "hooks and process", strings.Join(shown, " "), strings.TrimSpace(strings.Repeat(strconv.Itoa(slack)+" ", len(hookKinds)+1)))

	c = newContainer(t, sh(show))
	want(t, "run", c.output(), strconv.Itoa(slack))
}

func setSlack(t *testing.T, ns uintptr) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, ns, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
