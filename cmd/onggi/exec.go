package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/specconv"
)

// execOptions are exec's flags.
type execOptions struct {
	libcontainer.ExecOptions
	process  string // file with a process as JSON, "" for none
	preserve int
	detach   bool
}

func execCommand() command {
	return command{
		Name: "exec", Args: "<container-id> <command> [arguments]", Min: 1, Max: cli.Many, Foreign: true,
		Summary: "run one more process in a container",
		Detail: `Runs a command in a running container, with the settings of the container's own
process unless flags change them, or a process that a file describes:

    onggi exec web ps -ef
    onggi exec --process process.json web

Flags go before the container id; the command follows it. In the foreground,
onggi exits with the command's exit status, or with 255 if it could not run the
command.`,
		Manual: cli.Manual{
			Status: "That of the command, or 128 plus the number of the signal that killed it. 255 if it could " +
				"not be run. With --detach, 0 or 255. 1 after a wrong flag.",
			Examples: `A shell on this terminal:

    onggi exec --tty web sh

As another user, in another directory, with one more variable:

    onggi exec --user 33:33 --cwd /var/www --env LANG=C web ls -l

In the background:

    onggi exec --detach --pid-file pid web sleep 60 </dev/null >log 2>&1

A process as JSON, made of the container's own:

    jq '.process | .args = ["id"]' /srv/web/config.json >id.json
    onggi exec --process id.json web`,
		},
		Define: defineExec,
	}
}

func defineExec(f *flags) action {
	var o execOptions
	f.String(&o.process, "process", "p", "FILE", "file with the process as JSON, in the form of process in config.json")
	f.String(&o.Cwd, "cwd", "", "DIR", "working directory in the container")
	f.Strings(&o.Env, "env", "e", "NAME=VALUE", "add to the environment")
	f.Bool(&o.Tty, "tty", "t", "give the process a terminal of its own")
	f.String(&o.User, "user", "u", "UID[:GID]", "user and group, by number; without GID the container's group")
	f.Each("additional-gids", "g", "GID", "add a supplementary group", func(v string) error {
		return appendGid(&o.AdditionalGids, v)
	})
	f.Bool(&o.detach, "detach", "d", "do not wait for the process")
	f.String(&o.ConsoleSocket, "console-socket", "", "PATH", "Unix socket that receives the master side of the terminal")
	f.String(&o.PidfdSocket, "pidfd-socket", "", "PATH", "Unix socket that receives a pidfd of the process")
	f.String(&o.PidFile, "pid-file", "", "FILE", "write the process id to this file")
	f.String(&o.ProcessLabel, "process-label", "", "LABEL", "SELinux label of the process")
	f.String(&o.Apparmor, "apparmor", "", "PROFILE", "AppArmor profile of the process")
	f.Bool(&o.NoNewPrivs, "no-new-privs", "", "the process cannot gain privileges")
	f.Strings(&o.Caps, "cap", "c", "CAPABILITY", "add a capability; it is ambient too where the container has inheritable ones")
	f.Count(&o.preserve, "preserve-fds", "", "pass this many more descriptors, after standard error")
	f.Strings(&o.Cgroup, "cgroup", "", "[CONTROLLER:]PATH", "existing cgroup below the container's to run in")
	f.Bool(&o.IgnorePaused, "ignore-paused", "", "do not refuse a paused container; the process waits until it is resumed")
	return func(c *call) error {
		if o.process == "" && len(c.args) < 2 {
			return &execFailure{misuse("exec", "exec args cannot be empty: <command> is missing")}
		}
		status, err := execProcess(c, o)
		if err != nil {
			return &execFailure{err}
		}
		return exitStatus(status)
	}
}

// execProcess runs the process and returns its exit status, or 0 if it does not wait
// for the process.
func execProcess(c *call, o execOptions) (int, error) {
	var err error
	o.Args = c.args[1:]
	o.Stdin, o.Stdout, o.Stderr = c.std.in, c.std.out, c.std.err
	if err := checkEnv(o.Env); err != nil {
		return 0, err
	}
	if o.ExtraFiles, err = openFiles(o.preserve); err != nil {
		return 0, err
	}
	if o.process != "" {
		if o.Process, err = readProcess(o.process); err != nil {
			return 0, err
		}
	}
	container, err := c.container()
	if err != nil {
		return 0, err
	}
	if o.detach {
		return 0, whole(c.ctx, func(ctx context.Context) error {
			_, err := container.Exec(ctx, o.ExecOptions)
			return err
		})
	}
	ctx, fg, err := newForeground(c.ctx, c.std)
	if err != nil {
		return 0, err
	}
	defer fg.close()
	if terminal := o.Tty || o.Process != nil && o.Process.Terminal; terminal && o.ConsoleSocket == "" {
		o.Console = fg.console(fg.relayConsole)
	}
	p, err := container.Exec(ctx, o.ExecOptions)
	if err != nil {
		return 0, because(ctx, noTerminal(err))
	}
	return fg.wait(c.ctx, p)
}

// checkEnv checks the values of --env, so that the error names the flag. It does not
// show the value: it may be a secret whose name is missing.
func checkEnv(env []string) error {
	for _, v := range env {
		switch strings.IndexByte(v, '=') {
		case -1:
			return errors.New("flag --env: invalid environment variable: missing '='")
		case 0:
			return errors.New("flag --env: invalid environment variable: name cannot be empty")
		}
	}
	return nil
}

// readProcess reads the file of --process.
func readProcess(file string) (*specs.Process, error) {
	raw, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var p specs.Process
	if err := specconv.Decode(file, raw, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// appendGid adds a group id. The last number of 32 bits is not an id: setgroups(2) and
// similar calls take it for "no change".
func appendGid(gids *[]uint32, s string) error {
	gid, err := strconv.ParseUint(s, 10, 32)
	if err != nil || gid == 1<<32-1 {
		return fmt.Errorf("%q is not a group id", s)
	}
	*gids = append(*gids, uint32(gid))
	return nil
}
