package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

func traceViewCommand() command {
	return command{
		Name: "trace-view", Args: "<file>", Min: 1, Max: 1,
		Summary: "draw the trace of a verb (--trace)",
		Detail: `Draws the timeline of a command as an SVG picture: the runtime side above, the
container side below, time from left to right.

    onggi --trace run.json run web
    onggi trace-view -o run.svg run.json

The longest times are numbered and listed; a browser shows the others when the
pointer is over them. https://ui.perfetto.dev opens the same file.`,
		Define: defineTraceView,
	}
}

func defineTraceView(f *flags) action {
	var output string
	f.String(&output, "output", "o", "FILE", "write the picture to this file instead of standard output")
	return func(c *call) error {
		picture, err := drawTrace(c.args[0])
		if err != nil {
			return err
		}
		if output != "" {
			return os.WriteFile(output, picture, 0o644)
		}
		_, err = c.std.out.Write(picture)
		return err
	}
}

func drawTrace(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := timeline.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var picture bytes.Buffer
	err = t.SVG(&picture)
	return picture.Bytes(), err
}
