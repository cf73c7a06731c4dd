package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func listCommand() command {
	return command{
		Name:    "list",
		Summary: "list the containers under the state root",
		Manual: cli.Manual{Examples: `The ids of those that run:

    onggi list --format json |
        jq -r '.[] | select(.status == "running").id'

The containers of an engine, which has a state root of its own:

    onggi --root /run/containerd/runc/k8s.io list`},
		Define: defineList,
	}
}

func defineList(f *flags) action {
	format, quiet := "table", false
	f.Choice(&format, "format", "f", "form of the list", "table", "json")
	f.Bool(&quiet, "quiet", "q", "print only the ids")
	return func(c *call) error {
		// As with runc, a missing state root is an error if --root names it.
		if root := c.globals.Runtime.Root; root != "" {
			if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
				return &fs.PathError{Op: "open", Path: root, Err: unix.ENOENT}
			}
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		out := bufio.NewWriter(c.std.out) // a tabwriter writes cell by cell
		switch {
		case quiet:
			err = listIDs(c, r, out)
		case format == "json":
			err = list(c, r, out, printStates)
		default:
			err = list(c, r, out, printTable)
		}
		if err != nil {
			return err
		}
		return out.Flush()
	}
}

func list(c *call, r *libcontainer.Runtime, w io.Writer, print func(io.Writer, []libcontainer.State) error) error {
	states, err := r.List()
	if err := unreadable(c, err); err != nil {
		return err
	}
	return print(w, states)
}

func listIDs(c *call, r *libcontainer.Runtime, w io.Writer) error {
	ids, err := r.IDs()
	if err := unreadable(c, err); err != nil {
		return err
	}
	return printIDs(w, ids)
}

func printIDs(w io.Writer, ids []string) error {
	for _, id := range ids {
		if _, err := fmt.Fprintln(w, printable(id)); err != nil {
			return err
		}
	}
	return nil
}

// unreadable warns about states that cannot be read, so that list can still show the others.
func unreadable(c *call, err error) error {
	if err != nil && !errors.Is(err, libcontainer.ErrRoot) {
		c.log.warn(oneLine(err))
		return nil
	}
	return err
}

// printStates prints a JSON array. Without containers it prints [], where runc prints null:
// go-runc reads both, but a loop in a script needs the array.
func printStates(w io.Writer, states []libcontainer.State) error {
	if states == nil {
		states = []libcontainer.State{}
	}
	return printJSON(w, states, "")
}

// printTable prints runc's columns with runc's spacing. A bundle's path may have
// any characters: none of them moves a cursor or makes a column.
func printTable(w io.Writer, states []libcontainer.State) error {
	const minWidth, tabWidth, padding = 12, 1, 3
	t := tabwriter.NewWriter(w, minWidth, tabWidth, padding, ' ', 0)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range states {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n",
			printable(s.ID), s.InitProcessPid, s.Status, printable(s.Bundle), s.Created.Format(time.RFC3339Nano), printable(s.Owner))
	}
	return t.Flush()
}
