package main

import (
	"context"
	"errors"
)

func deleteCommand() command {
	return command{
		name: "delete", args: "<container-id>", min: 1, max: 1,
		summary: "remove a container that has stopped, or was not started",
		detail: `Removes the state and the cgroup of the container, and runs its poststop hooks.
Its root file system stays. --force also cleans up what a create or a delete
has left that was killed.`,
		manual: manual{examples: `    onggi delete web

One that runs, and all whose ids begin with build-:

    onggi delete --force web
    onggi delete --force --regex '^build-'`},
		define: defineDelete,
	}
}

func defineDelete(f *flags) action {
	var force, regex bool
	f.bool(&force, "force", "f", "kill the container if it runs; no error if there is none")
	f.bool(&regex, "regex", "r", "<container-id> is an extended regular expression (POSIX) that selects containers")
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
