package main

import (
	"os"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// idText explains the argument of most commands.
const idText = `<container-id> is a name of your choice, unique on this host: letters, digits
and the characters _ + - . are allowed.`

func createCommand() command {
	return command{
		Name: "create", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "create a container",
		Detail: `Prepares the container for the program that process.args in config.json names;
"onggi start" runs the program. onggi does not read config.json again later.

` + idText,
		Manual: cli.Manual{
			Files: bundleFiles, Environment: serviceEnvironment,
			Examples: `Set a container up, look at it, start it:

    onggi create -b /srv/web --pid-file pid web </dev/null >log 2>&1
    lsns --task $(cat pid)
    onggi start web

That is a container without a terminal. With process.terminal, a program has to
receive the terminal, at the socket of --console-socket.`,
		},
		Define: defineCreate,
	}
}

func defineCreate(f *flags) action {
	var o libcontainer.CreateOptions
	preserve := createFlags(f, &o)
	return func(c *call) error {
		r, err := c.runtime()
		if err != nil {
			return err
		}
		if err := inherit(&o, *preserve, c.std); err != nil {
			return err
		}
		ctx, err := interruptible(c.ctx)
		if err != nil {
			return err
		}
		_, err = r.Create(ctx, c.args[0], o)
		return because(ctx, err)
	}
}

// createFlags declares the flags that create and run share. preserve, the number of
// descriptors to preserve, is valid after parsing.
func createFlags(f *flags, o *libcontainer.CreateOptions) (preserve *int) {
	preserve = new(int)
	f.String(&o.Bundle, "bundle", "b", "DIR", "the bundle (default: the working directory)")
	f.String(&o.ConfigFile, "config", "f", "FILE", "configuration in place of config.json in the bundle")
	f.String(&o.ConsoleSocket, "console-socket", "", "PATH", "Unix socket that receives the master side of the container's terminal")
	f.String(&o.PidfdSocket, "pidfd-socket", "", "PATH", "Unix socket that receives a pidfd of the container's first process")
	f.String(&o.PidFile, "pid-file", "", "FILE", "write the process id of the container's first process to this file")
	f.Bool(&o.NoPivot, "no-pivot", "", "do not use pivot_root, for a root file system on a ramdisk")
	f.Bool(&o.NoNewKeyring, "no-new-keyring", "", "keep the caller's session keyring")
	f.Count(preserve, "preserve-fds", "", "pass this many more descriptors, after standard error and those of $LISTEN_FDS")
	return preserve
}

// inherit fills in everything that the container inherits from onggi's caller.
func inherit(o *libcontainer.CreateOptions, preserve int, std stdio) error {
	listen, err := listenFDs(os.Getenv)
	if err != nil {
		return err
	}
	o.ExtraFiles, err = openFiles(listen + preserve)
	o.ListenFDs = listen
	o.NotifySocket = os.Getenv("NOTIFY_SOCKET")
	o.Stdin, o.Stdout, o.Stderr = std.in, std.out, std.err
	return err
}
