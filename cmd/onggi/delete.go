package main

import (
	"context"
	"errors"
)

func deleteCommand() command {
	return command{
		name: "delete", args: "<container-id>", min: 1, max: 1,
		summary: "remove a container that has stopped, or was not started",
		define:  defineDelete,
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
