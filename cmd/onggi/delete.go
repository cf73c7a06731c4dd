package main

import (
	"context"
	"errors"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

func deleteCommand() command {
	return command{
		Name: "delete", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "remove a container that has stopped, or was not started",
		Detail: `Removes the state and the cgroup of the container, and runs its poststop hooks.
The root file system stays. --force also removes the remains of a create or a
delete that was killed.`,
		Manual: cli.Manual{Examples: `    onggi delete web

One that runs, and all whose ids begin with build-:

    onggi delete --force web
    onggi delete --force --regex '^build-'`},
		Define: defineDelete,
	}
}

func defineDelete(f *flags) action {
	var force, regex bool
	f.Bool(&force, "force", "f", "kill the container if it runs; no error if there is none")
	f.Bool(&regex, "regex", "r", "<container-id> is an extended regular expression (POSIX) that selects containers")
	return func(c *call) error {
		r, err := c.runtime()
		if err != nil {
			return err
		}
		ids, err := selectIDs(c.ctx, r, c.args[0], regex)
		return errors.Join(err, whole(c.ctx, func(ctx context.Context) error {
			return forEach(ids, func(id string) error { return r.Delete(ctx, id, force) })
		}))
	}
}
