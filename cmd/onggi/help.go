package main

// about describes onggi, for the help and the man page.
const about = `onggi runs containers that are prepared as OCI bundles: a directory with a
config.json and a root file system. It is mostly called by container engines,
and has the command line of runc.

A first container, from a directory with a root file system in rootfs/:

    onggi spec
    onggi run first`

func helpCommand() command {
	return command{
		Name: "help", Args: "[command]", Max: 1,
		Summary: "explain onggi or one of its commands",
		Define:  func(*flags) action { return showHelp },
	}
}

func showHelp(c *call) error {
	if len(c.args) == 0 {
		return program().PrintHelp(c.std.out, nil)
	}
	cmd := program().Lookup(c.args[0])
	if cmd == nil {
		return program().UnknownCommand(c.args[0])
	}
	return program().PrintHelp(c.std.out, cmd)
}
