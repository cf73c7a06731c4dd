package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func checkpointCommand() command {
	return command{
		Name: "checkpoint", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "write a running container to disk",
		Detail: `CRIU, which has to be in $PATH, writes the memory and the state of all
processes to the image directory; then the container is deleted. The file
system of the container is not part of the images.`,
		Manual: cli.Manual{
			Status: "0 if the images are complete. Else 1: the container goes on as before. With --check, 1 if a dump would fail, else 0.",
			Files: "The image directory is made with mode 0700. It must not be a link, and no other user may be able to change it. " +
				"The log is dump.log in the work directory.",
			Environment: criuEnvironment,
			Examples: `Write a container to disk, and let it run on:

    onggi checkpoint --image-path /srv/images --leave-running web

The obstacles to a dump, and the flags that would help; CRIU is not needed:

    onggi checkpoint --check web

With a short freeze: most of the memory is written while the container runs.

    onggi checkpoint --image-path /srv/images --pre-dump-until 5% web

With its TCP connections, in order to move it to another host:

    onggi checkpoint --image-path /srv/images --tcp-established web`,
		},
		Define: defineCheckpoint,
	}
}

func defineCheckpoint(f *flags) action {
	var o libcontainer.CheckpointOptions
	var empty string
	status, ghost, check, format := -1, 0, false, "table"
	criuFlags(f, &o.CRIUOptions, &empty)
	f.Bool(&o.LeaveRunning, "leave-running", "", "keep the container running")
	f.Bool(&o.PreDump, "pre-dump", "", "write only memory, and keep the container running")
	f.Add(cli.Option{Name: "pre-dump-until", Arg: "SIZE|RATIO", Text: "write memory repeatedly before the dump, until a pre-dump writes at most SIZE, or RATIO (5%) of the first", Set: func(v string) (err error) {
		o.PreDumpUntil, err = parseGoal(v)
		return err
	}})
	f.String(&o.ParentPath, "parent-path", "", "DIR", "images of an earlier --pre-dump, relative to the image directory")
	f.Bool(&o.TCPSkipInFlight, "tcp-skip-in-flight", "", "leave out TCP connections that are being established")
	f.Bool(&o.LinkRemap, "link-remap", "", "link removed files that have another name to a temporary name")
	f.Count(&ghost, "ghost-limit", "", "largest removed file to write, in bytes (0: 1 MiB)")
	f.String(&o.PageServer, "page-server", "", "ADDRESS:PORT", "send the memory to a page server")
	f.Add(cli.Option{Name: "status-fd", Arg: "N", Text: "descriptor that receives a NUL byte when lazy pages are ready", Set: func(v string) (err error) {
		if status, err = strconv.Atoi(v); err != nil {
			return errors.New("it is not a descriptor")
		}
		return nil
	}})
	f.Bool(&o.SkipExec, "skip-exec", "", "do not warn about processes of exec, which cannot be dumped")
	f.Bool(&check, "check", "", "only list what cannot be dumped, and the flag that would help")
	f.Choice(&format, "format", "", "form of the list of --check", "table", "json")
	return func(c *call) (err error) {
		if o.EmptyNetwork, err = emptyNamespace(empty); err != nil {
			return err
		}
		o.GhostLimit = uint32(ghost)
		if status >= 0 {
			o.Status = os.NewFile(uintptr(status), "--status-fd")
		}
		container, err := c.container()
		if err != nil {
			return err
		}
		if check {
			return checkCheckpoint(c, container, o, format)
		}
		ctx, err := interruptible(c.ctx)
		if err != nil {
			return err
		}
		if isTerminal(c.std.err) {
			o.Progress = func(p libcontainer.CheckpointProgress) { printProgress(c.std.err, p) }
		}
		return because(ctx, container.Checkpoint(ctx, o))
	}
}

// parseGoal parses the goal of pre-dumps: a size such as 16m, or a ratio such as 5%.
func parseGoal(v string) (g libcontainer.PreDumpGoal, err error) {
	if number, ok := strings.CutSuffix(v, "%"); ok {
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || !(percent > 0 && percent < 100) {
			return g, fmt.Errorf("%q is not a ratio between 0%% and 100%%", v)
		}
		return libcontainer.PreDumpGoal{Ratio: percent / 100}, nil
	}
	size, err := parseSize(v)
	if err == nil && size == 0 {
		err = errors.New("a container that runs always changes memory: use a size such as 16m, or a ratio such as 5%")
	}
	return libcontainer.PreDumpGoal{Size: uint64(size)}, err
}

// printProgress prints a line about a checkpoint that has taken more than a second.
func printProgress(w io.Writer, p libcontainer.CheckpointProgress) {
	if p.Elapsed < time.Second {
		return
	}
	fmt.Fprintf(w, "checkpoint: %s: %s of memory written after %.0f s\n", p.Phase, bytesText(float64(p.Written)), p.Elapsed.Seconds())
}

// checkCheckpoint prints the obstacles. The exit status is 1 if a dump would fail.
func checkCheckpoint(c *call, container *libcontainer.Container, o libcontainer.CheckpointOptions, format string) error {
	found, err := container.CheckCheckpoint(c.ctx, o)
	if err != nil {
		return err
	}
	if format == "json" {
		if found == nil {
			found = []libcontainer.Obstacle{}
		}
		err = printJSON(c.std.out, found, "  ")
	} else {
		err = printObstacles(c.std.out, found)
	}
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.Warning {
			return exitStatus(1)
		}
	}
	return nil
}

func printObstacles(w io.Writer, found []libcontainer.Obstacle) error {
	if len(found) == 0 {
		return nil
	}
	const minWidth, tabWidth, padding = 0, 1, 3
	t := tabwriter.NewWriter(w, minWidth, tabWidth, padding, ' ', 0)
	fmt.Fprint(t, "PID\tCOMMAND\tFD\tFLAG\tCAUSE\n")
	for _, f := range found {
		pid, fd, flag, cause := "-", "-", "-", f.Cause
		if f.Pid != 0 {
			pid = strconv.Itoa(f.Pid)
		}
		if f.Descriptor != nil {
			fd = strconv.Itoa(*f.Descriptor)
		}
		if f.Flag != "" {
			flag = f.Flag
		}
		if f.Path != "" {
			cause = f.Path + ": " + cause
		}
		if f.Warning {
			cause = "warning: " + cause
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", pid, cmp.Or(printable(f.Command), "-"), fd, flag, printable(cause))
	}
	return t.Flush()
}

// criuFlags declares the flags that checkpoint and restore share.
func criuFlags(f *flags, o *libcontainer.CRIUOptions, empty *string) {
	o.ManageCgroups = "ignore"
	f.String(&o.ImagePath, "image-path", "", "DIR", "directory of the images (default: ./checkpoint)")
	f.String(&o.WorkPath, "work-path", "", "DIR", "directory of the log and the statistics (default: the image directory)")
	f.Bool(&o.TCPEstablished, "tcp-established", "", "keep established TCP connections")
	f.Bool(&o.ExtUnixSockets, "ext-unix-sk", "", "allow Unix sockets with a peer outside the container")
	f.Bool(&o.ShellJob, "shell-job", "", "allow a session or a terminal of the caller")
	f.Bool(&o.FileLocks, "file-locks", "", "keep file locks")
	f.Bool(&o.LazyPages, "lazy-pages", "", "a page server sends the memory on demand")
	f.Bool(&o.AutoDedup, "auto-dedup", "", "remove pages from the parent's images that newer ones replace")
	f.String(empty, "empty-ns", "", "network", "restore the namespace without its contents")
	f.Choice(&o.ManageCgroups, "manage-cgroups-mode", "", "treatment of the cgroups below the container's", "soft", "full", "strict", "ignore")
	f.Choice(&o.NetworkLock, "network-lock", "", "method to block packets during the work (default: nftables)", "iptables", "nftables", "skip")
}

// emptyNamespace has runc's words.
func emptyNamespace(name string) (bool, error) {
	switch name {
	case "":
		return false, nil
	case "network":
		return true, nil
	}
	return false, errors.New("namespace " + strconv.Quote(name) + " is not supported for --empty-ns")
}
