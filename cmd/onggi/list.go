package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/onggi-dev/onggi/libcontainer"
)

func listCommand() command {
	return command{
		name:    "list",
		summary: "list the containers under the state root",
		define:  defineList,
	}
}

func defineList(f *flags) action {
	format, quiet := "table", false
	f.choice(&format, "format", "f", "form of the list", "table", "json")
	f.bool(&quiet, "quiet", "q", "print only the ids")
	return func(c *call) error {
		r, err := c.runtime()
		if err != nil {
			return err
		}
		states, err := r.List()
		if errors.Is(err, libcontainer.ErrRoot) {
			return err
		}
		if err != nil {
			// One state that cannot be read is no reason not to see the others.
			c.log.warn(oneLine(err))
		}
		switch {
		case quiet:
			return printIDs(c.std.out, states)
		case format == "json":
			return printStates(c.std.out, states)
		}
		return printTable(c.std.out, states)
	}
}

func printIDs(w io.Writer, states []libcontainer.State) error {
	for _, s := range states {
		if _, err := fmt.Fprintln(w, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// printStates prints a JSON array. For no containers that is [], where runc
// has null: go-runc reads both, and a loop in a script only the array.
func printStates(w io.Writer, states []libcontainer.State) error {
	if states == nil {
		states = []libcontainer.State{}
	}
	return printJSON(w, states, "")
}

// printTable prints runc's columns with runc's spacing.
func printTable(w io.Writer, states []libcontainer.State) error {
	const minWidth, tabWidth, padding = 12, 1, 3
	t := tabwriter.NewWriter(w, minWidth, tabWidth, padding, ' ', 0)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range states {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n",
			s.ID, s.InitProcessPid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return t.Flush()
}
