package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func eventsCommand() command {
	return command{
		Name: "events", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "print the events of a container as JSON lines",
		Detail: `Prints statistics at every interval, OOM kills (--details adds the process),
reached pressure thresholds and, as the last line, the end of the container. It
prints all but the statistics as soon as the kernel announces them.

A threshold is RESOURCE:KIND:STALL/WINDOW, for example memory:some:150ms/2s: the
resource is cpu, memory or io, and some or full (all) of the tasks have to wait
for it that long within the window.`,
		Manual: cli.Manual{Examples: `Memory in use, once:

    onggi events --stats web | jq .data.memory.usage.usage

Out of memory, when it happens:

    onggi events web | jq --unbuffered 'select(.type == "oom")'

Statistics each second, and when some task waits for memory:

    onggi events --interval 1s --pressure memory:some:150ms/2s web`},
		Define: defineEvents,
	}
}

func defineEvents(f *flags) action {
	interval, once, details := 5*time.Second, false, false
	var at []libcontainer.Threshold
	f.Add(cli.Option{
		Name: "interval", Arg: "DURATION", Initial: interval.String(), Text: "time between statistics",
		Set: func(v string) (err error) { interval, err = parseInterval(v); return err },
	})
	f.Bool(&once, "stats", "", "print statistics once and end")
	f.Bool(&details, "details", "", "print the process that the OOM killer chose, and the limit")
	f.Each("pressure", "", "THRESHOLD", "print an event when this pressure is reached", func(v string) error {
		t, err := parseThreshold(v)
		at = append(at, t)
		return err
	})
	return func(c *call) error {
		container, err := c.container()
		if err != nil {
			return err
		}
		if once {
			return printStats(c.std.out, container)
		}
		events, err := container.Events(c.ctx, interval, at...)
		if err != nil {
			return err
		}
		return printEvents(c.std.out, events, details)
	}
}

func parseInterval(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, errors.New("parse error: it is not a time such as 500ms or 5s")
	case d <= 0:
		return 0, errors.New("duration interval must be greater than 0")
	}
	return d, nil
}

// parseThreshold parses "memory:some:150ms/2s".
func parseThreshold(s string) (t libcontainer.Threshold, err error) {
	wrong := fmt.Errorf("%q is not like memory:some:150ms/2s", s)
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return t, wrong
	}
	stall, window, ok := strings.Cut(parts[2], "/")
	if !ok || !slices.Contains([]string{"cpu", "memory", "io"}, parts[0]) || !slices.Contains([]string{"some", "full"}, parts[1]) {
		return t, wrong
	}
	t.Resource, t.Full = parts[0], parts[1] == "full"
	var err1, err2 error
	t.Stall, err1 = parseInterval(stall)
	t.Window, err2 = parseInterval(window)
	if errors.Join(err1, err2) != nil {
		return t, wrong
	}
	return t, nil
}

func printStats(w io.Writer, container *libcontainer.Container) error {
	stats, err := container.Stats()
	if err != nil {
		return err
	}
	return printJSON(w, libcontainer.Event{Type: libcontainer.EventStats, ID: container.ID(), Data: stats}, "")
}

// printEvents prints events until the container has ended or the output cannot be
// written. Without details, an "oom" event has no data, as with runc.
func printEvents(w io.Writer, events <-chan libcontainer.Event, details bool) error {
	for e := range events {
		if e.Type == libcontainer.EventOOM && !details {
			e.Data = nil
		}
		if err := printJSON(w, e, ""); err != nil {
			return err
		}
	}
	return nil
}
