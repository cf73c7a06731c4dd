package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shareOf returns the time of a traced command without the time in which it waited for CRIU.
func shareOf(t *testing.T, trace string) time.Duration {
	t.Helper()
	var file struct {
		TraceEvents []struct {
			Name, Cat, Ph string
			Dur           float64 // microseconds
		}
	}
	text := []byte(textOf(t, trace))
	if err := json.Unmarshal(text, &file.TraceEvents); err != nil {
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
	}
	var own float64
	for _, e := range file.TraceEvents {
		switch {
		case e.Cat == "verb":
			own += e.Dur
		case e.Cat == "wait" && strings.HasPrefix(e.Name, "criu: "):
			own -= e.Dur
		}
	}
	return time.Duration(own * float64(time.Microsecond))
}

// The test measures onggi's own share of a dump and of a restore, beside the time of `onggi --version`. Another load on the
// machine changes all three, so the shortest of several tries counts, and nothing is required.
func TestCheckpointShare(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("a measurement (LONG=1 makes it)")
	}
	c := counting(t)
	dump, restore, version := time.Hour, time.Hour, time.Hour
	for range 20 {
		trace := filepath.Join(c.bundle, "trace")
		c.must("--trace", trace, "checkpoint", "--image-path", c.images(), c.id)
		dump = min(dump, shareOf(t, trace))
		c.must(append([]string{"--trace", trace}, c.restoreArgs("--detach")...)...)
		restore = min(restore, shareOf(t, trace))
		began := time.Now()
		c.must("--version")
		version = min(version, time.Since(began))
	}
	t.Logf("own share of a dump: %v, of a restore: %v; onggi --version: %v", dump, restore, version)
}
