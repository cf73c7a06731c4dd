package main

import (
	"encoding/json"
	"io"
)

func stateCommand() command {
	return command{
		name: "state", args: "<container-id>", min: 1, max: 1,
		summary: "print the state of a container as JSON",
		detail: `The status is one of creating, created, running, paused and stopped; the pid is
0 once the container has stopped.`,
		manual: manual{examples: `    onggi state web | jq -r .status`},
		define: func(*flags) action { return printState },
	}
}

func printState(c *call) error {
	container, err := c.container()
	if err != nil {
		return err
	}
	state, err := container.State()
	if err != nil {
		return err
	}
	return printJSON(c.std.out, state, "  ")
}

// printJSON prints v, indented if indent is not empty.
func printJSON(w io.Writer, v any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}
