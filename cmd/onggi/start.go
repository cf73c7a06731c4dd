package main

func startCommand() command {
	return command{
		name: "start", args: "<container-id>", min: 1, max: 1,
		summary: "run the program of a created container",
		define:  func(*flags) action { return start },
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
