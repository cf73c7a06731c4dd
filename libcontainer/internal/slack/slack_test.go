package slack

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOfCaller(t *testing.T) {
	runtime.LockOSThread()
	before := OfCaller()
	defer Set(before)
	for name, test := range map[string]struct{ thread, want uint64 }{
		"the thread's own":                  {123_456, 123_456},
		"that of the main thread, if large": {large, before},
	} {
		Set(test.thread)
		if unix.Gettid() == os.Getpid() && test.thread == large {
			continue // this is the main thread
		}
		if got := OfCaller(); got != test.want {
			t.Errorf("%s: OfCaller() = %d; want %d", name, got, test.want)
		}
	}
}

func TestOfMain(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]uint64{"70000\n": 70_000, "x": usual, "": usual} {
		path := filepath.Join(dir, "slack")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := ofMain(path); got != want {
			t.Errorf("ofMain(%q) = %d; want %d", content, got, want)
		}
	}
	if got := ofMain(filepath.Join(dir, "none")); got != usual {
		t.Errorf("ofMain of no file = %d; want %d", got, uint64(usual))
	}
}
