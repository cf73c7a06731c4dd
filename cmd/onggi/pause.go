package main

func pauseCommand() command {
	return command{
		name: "pause", args: "<container-id>", min: 1, max: 1,
		summary: "stop all processes of a container for a while",
		detail:  `The kernel freezes the container's cgroup; "onggi resume" lets it go on.`,
		define:  func(*flags) action { return pause },
	}
}

func resumeCommand() command {
	return command{
		name: "resume", args: "<container-id>", min: 1, max: 1,
		summary: "let a paused container go on",
		define:  func(*flags) action { return resume },
	}
}

func pause(c *call) error {
	container, err := c.container()
	if err != nil {
		return err
	}
	return whole(c.ctx, container.Pause)
}

func resume(c *call) error {
	container, err := c.container()
	if err != nil {
		return err
	}
	return whole(c.ctx, container.Resume)
}
