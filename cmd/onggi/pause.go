package main

func pauseCommand() command {
	return command{
		Name: "pause", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "stop all processes of a container for a while",
		Detail:  `The kernel freezes the container's cgroup; "onggi resume" lets it go on.`,
		Define:  func(*flags) action { return pause },
	}
}

func resumeCommand() command {
	return command{
		Name: "resume", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "let a paused container go on",
		Define:  func(*flags) action { return resume },
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
