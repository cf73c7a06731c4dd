package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func restoreCommand() command {
	return command{
		Name: "restore", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "start a container from a checkpoint",
		Detail: `CRIU, which has to be in $PATH, restores the processes from the image directory
of "onggi checkpoint". onggi creates the rest from config.json in the bundle. If
a restored mount has fewer restrictions than before, restore fails.
In the foreground, onggi waits as "onggi run" does.

` + idText,
		Manual: cli.Manual{
			Status: "With --detach, 0 or 1. Else that of the program, or 128 plus the number of the signal that killed it.",
			Files:  bundleFiles, Environment: criuEnvironment,
			Examples: `On the same host or on another one, with the same root file system:

    cd /srv/web
    onggi restore --image-path /srv/images --detach web </dev/null`,
		},
		Define: defineRestore,
	}
}

// restoreOptions are the flags of restore, which has more than the library.
type restoreOptions struct {
	libcontainer.RestoreOptions
	detach      bool
	noSubreaper bool
}

func defineRestore(f *flags) action {
	var o restoreOptions
	var empty string
	create := &o.CreateOptions
	criuFlags(f, &o.CRIUOptions, &empty)
	f.Bool(&o.TCPClose, "tcp-close", "", "restore TCP connections as closed ones")
	f.String(&o.LSMProfile, "lsm-profile", "", "TYPE:NAME", "AppArmor profile or SELinux label in place of the old one")
	f.String(&o.LSMMountContext, "lsm-mount-context", "", "CONTEXT", "SELinux context of mounts in place of the old one")
	f.String(&create.Bundle, "bundle", "b", "DIR", "the bundle (default: the working directory)")
	f.String(&create.ConsoleSocket, "console-socket", "", "PATH", "Unix socket that receives the master side of the container's terminal")
	f.String(&create.PidFile, "pid-file", "", "FILE", "write the process id of the container's first process to this file")
	f.Bool(&create.NoPivot, "no-pivot", "", "has no effect: CRIU makes the mount namespace")
	f.Bool(&create.NoNewKeyring, "no-new-keyring", "", "keep the caller's session keyring")
	f.Bool(&o.detach, "detach", "d", "do not wait for the container")
	f.Bool(&o.noSubreaper, "no-subreaper", "", "do not adopt orphaned processes of the container")
	return func(c *call) (err error) {
		if o.EmptyNetwork, err = emptyNamespace(empty); err != nil {
			return err
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		create.Stdin, create.Stdout, create.Stderr = c.std.in, c.std.out, c.std.err
		if o.detach {
			return restoreDetached(c, r, o)
		}
		return restoreForeground(c, r, o)
	}
}

// restoreDetached restores a container and leaves it running.
func restoreDetached(c *call, r *libcontainer.Runtime, o restoreOptions) error {
	ctx, err := interruptible(c.ctx)
	if err != nil {
		return err
	}
	_, err = r.Restore(ctx, c.args[0], o.RestoreOptions)
	return because(ctx, err)
}

// restoreForeground restores a container and waits for its end, as runForeground does.
func restoreForeground(c *call, r *libcontainer.Runtime, o restoreOptions) error {
	if !o.noSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	ctx, fg, err := newForeground(c.ctx, c.std)
	if err != nil {
		return err
	}
	defer fg.close()
	if o.ConsoleSocket == "" {
		o.Console = fg.console(fg.keepConsole)
	}
	container, err := r.Restore(ctx, c.args[0], o.RestoreOptions)
	if err != nil {
		return because(ctx, noTerminal(err))
	}
	if err := errors.Join(fg.ready(), fg.relayKept()); err != nil {
		remove(ctx, c, container)
		return err
	}
	orphans, err := adoptOrphans(fg, container)
	if err != nil {
		remove(ctx, c, container)
		return err
	}
	status, err := fg.wait(c.ctx, signalled{container})
	rest := fg.over(c.ctx)
	orphans.leave()
	remove(rest, c, container)
	if err != nil {
		return err
	}
	return exitStatus(status)
}
