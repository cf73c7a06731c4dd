package main

import (
	"context"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func startCommand() command {
	return command{
		Name: "start", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "run the program of a created container",
		Detail: `The process of the created container executes the program. If that fails, start
reports the reason.`,
		Manual: cli.Manual{Examples: `    onggi create --bundle /srv/web web </dev/null >log 2>&1
    onggi start web`},
		Define: func(*flags) action { return start },
	}
}

func start(c *call) error {
	container, err := c.container()
	if err != nil {
		return err
	}
	if err := startWhole(c.ctx, container); err != nil {
		return err
	}
	passReady(c.ctx, c, container, container.Pid())
	return nil
}

// startWhole starts the container. A signal that asks onggi to end also ends a hook, which
// would run on otherwise. Without hooks, nothing runs on, and no signal is caught.
func startWhole(ctx context.Context, container *libcontainer.Container) error {
	hooks, err := container.HasHooks("startContainer", "poststart")
	if err != nil || !hooks {
		return container.Start(ctx) // which gives the error of a configuration that cannot be read
	}
	return whole(ctx, container.Start)
}
