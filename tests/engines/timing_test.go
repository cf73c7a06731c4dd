package engines

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// rounds is how often each runtime is timed. The median of fewer moves by more than the runtimes differ.
const rounds = 25

// TestTimings times the same run with every runtime in turns, so that other work on the machine affects all of them.
func TestTimings(t *testing.T) {
	if os.Getenv("STARVED") != "" {
		t.Skip("times mean nothing beside a busy loop")
	}
	if len(env.kinds) == 1 {
		t.Skip("nothing to compare with: RUNTIME=onggi,runc,crun")
	}
	for _, timed := range []struct {
		engine
		run func(kind string) []string
	}{
		{containerd(), func(kind string) []string {
			return []string{"run", "--runtime=io.containerd.runc.v2", "--runc-binary=/usr/local/sbin/" + kind, "--rm", image, "timed", "true"}
		}},
		{podman(), func(kind string) []string {
			return []string{"--runtime=/usr/local/sbin/" + kind, "run", "--rm", "--network=none", image, "true"}
		}},
		{docker(), func(kind string) []string {
			return []string{"run", "--runtime=" + kind, "--rm", "--network=none", image, "true"}
		}},
	} {
		t.Run(timed.name, func(t *testing.T) {
			timed.installed(t)
			c := timed.start(t)
			title, took := timed.title(), make(map[string][]time.Duration)
			for range rounds {
				for _, kind := range env.kinds {
					began := time.Now()
					c.ok(timed.run(kind)...)
					took[kind] = append(took[kind], time.Since(began))
				}
			}
			for _, kind := range env.kinds {
				report.time(title, kind, took[kind])
			}
		})
	}
}

// dockerRuntimes is a daemon.json that knows all runtimes but runc, which is a name that Docker keeps for itself.
func dockerRuntimes() string {
	var known []string
	for _, kind := range env.kinds {
		if kind != "runc" {
			known = append(known, fmt.Sprintf("%q: {\"path\": \"/usr/local/sbin/%s\"}", kind, kind))
		}
	}
	return "{\"runtimes\": {" + strings.Join(known, ", ") + "}}"
}
