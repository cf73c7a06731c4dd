package main

import "github.com/onggi-dev/onggi/cmd/onggi/internal/cli"

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
	if err := container.Start(c.ctx); err != nil {
		return err
	}
	passReady(c.ctx, c, container, container.Pid())
	return nil
}
