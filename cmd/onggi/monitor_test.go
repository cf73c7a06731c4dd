package main

import (
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRestoreSlack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	give := func(ns uint64) {
		callersSlack = ns
		restoreSlack()
	}
	defer func() {
		give(uint64(before))
		callersSlack = 0
	}()
	give(77_777)
	if got, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || got != 77_777 {
		t.Errorf("slack of this thread = %d, %v; want 77777", got, err)
	}
	// Another thread's slack takes CAP_SYS_NICE.
	if data, err := os.ReadFile("/proc/self/timerslack_ns"); err == nil && os.Geteuid() == 0 && strings.TrimSpace(string(data)) != "77777" {
		t.Errorf("slack of the main thread = %s; want 77777", data)
	}
	give(0)
	if got, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); got != 77_777 {
		t.Errorf("slack = %d without an entry point; want the one before, 77777", got)
	}
}

func TestEntryIsThere(t *testing.T) {
	if reflect.ValueOf(entry).Pointer() == 0 {
		t.Error("no entry point")
	}
}
