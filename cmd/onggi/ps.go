package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

func psCommand() command {
	return command{
		Name: "ps", Args: "<container-id> [ps options]", Min: 1, Max: cli.Many, Foreign: true,
		Summary: "show the processes of a container",
		Detail: `Shows the lines of the host's ps that are about the container's processes. The
options for ps follow the container id (default: -ef).`,
		Manual: cli.Manual{
			Environment: `PATH
    where ps is looked for`,
			Examples: `    onggi ps web -o pid,user,rss,args
    onggi ps --format json web`,
		},
		Define: definePs,
	}
}

func definePs(f *flags) action {
	format := "table"
	f.Choice(&format, "format", "f", "form of the output: a table, or the process ids as a JSON array", "table", "json")
	return func(c *call) error {
		container, err := c.container()
		if err != nil {
			return err
		}
		pids, err := container.Processes()
		if err != nil {
			return err
		}
		if format == "json" {
			return printPids(c.std.out, pids)
		}
		return printProcesses(c.std.out, c.args[1:], pids)
	}
}

func printPids(w io.Writer, pids []int) error {
	if pids == nil {
		pids = []int{}
	}
	return printJSON(w, pids, "")
}

// printProcesses runs the host's ps and prints its lines about pids.
func printProcesses(w io.Writer, options []string, pids []int) error {
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	ps := exec.Command("ps", options...)
	var complaint bytes.Buffer
	ps.Stderr = &complaint
	table, err := ps.Output()
	if err != nil {
		reason, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n") // the rest is the usage of ps
		return fmt.Errorf("run the host's ps: %w: %s", err, reason)
	}
	return filterTable(w, string(table), pids)
}

// shownLine is a line as a terminal may get it: the host's ps may print the names of a
// container's programs as they are. It keeps tabs.
func shownLine(line string) string {
	text, end := strings.CutSuffix(line, "\n")
	cells := strings.Split(text, "\t")
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	text = strings.Join(cells, "\t")
	if end {
		text += "\n"
	}
	return text
}

// filterTable prints the heading of a ps table and the lines of pids.
func filterTable(w io.Writer, table string, pids []int) error {
	head, lines, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(head), "PID")
	if column < 0 {
		return errors.New("couldn't find PID field in ps output: choose options that print that column")
	}
	if _, err := fmt.Fprintln(w, shownLine(head)); err != nil {
		return err
	}
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		if _, err := io.WriteString(w, shownLine(line)); err != nil {
			return err
		}
	}
	return nil
}
