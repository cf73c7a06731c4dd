package main

import (
	"encoding/json"
	"io"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

func stateCommand() command {
	return command{
		Name: "state", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "print the state of a container as JSON",
		Detail: `The status is one of creating, created, running, paused and stopped; the pid is
0 once the container has stopped.`,
		Manual: cli.Manual{Examples: `    onggi state web | jq -r .status`},
		Define: func(*flags) action { return printState },
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
