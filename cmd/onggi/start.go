package main

func startCommand() command {
	return command{
		name: "start", args: "<container-id>", min: 1, max: 1,
		summary: "run the program of a created container",
		detail: `Opens the gate at which "onggi create" has left the container. A program that
cannot be executed is an error here, with the reason.`,
		manual: manual{examples: `    onggi create --bundle /srv/web web </dev/null >log 2>&1
    onggi start web`},
		define: func(*flags) action { return start },
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
