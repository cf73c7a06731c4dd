package main

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/specconv"
)

func mountsCommand() command {
	return command{
		Name: "mounts", Args: "<add|remove> <container-id> <file>", Min: 1, Max: 3,
		Summary: "add mounts to a running container, or remove them again",
		Detail: `The file, or standard input for "-", is a JSON array of mounts in the form of
mounts in config.json:

    [{"destination": "/data", "source": "/srv", "options": ["bind"]}]

The container must be created, running or paused. "add" mounts the entries in
order and creates missing destinations. If one mount fails, it undoes all.
"remove" unmounts the destinations, from the last to the first. It only uses the
destinations of the file, and refuses a mount that "add" did not make.`,
		Manual: cli.Manual{Examples: `    onggi mounts add web data.json
    onggi mounts remove web data.json

A file system in memory, from standard input:

    echo '[{"destination": "/tmp", "type": "tmpfs"}]' |
        onggi mounts add web -`},
		Define: func(*flags) action { return changeMounts },
	}
}

func changeMounts(c *call) error {
	verb := c.args[0]
	if verb != "add" && verb != "remove" {
		return misuse("mounts", "mounts: %q is neither add nor remove", verb)
	}
	cmd := program().Lookup("mounts")
	cmd.Min = cmd.Max
	if err := cmd.CountArgs(c.args); err != nil {
		return err
	}
	mounts, err := readMounts(c, c.args[2])
	if err != nil {
		return err
	}
	container, err := c.load(c.args[1])
	if err != nil {
		return err
	}
	defer container.Close()
	change := container.AddMounts
	if verb == "remove" {
		change = container.RemoveMounts
	}
	return whole(c.ctx, func(ctx context.Context) error { return change(ctx, mounts) })
}

func readMounts(c *call, file string) ([]specs.Mount, error) {
	raw, name, err := c.read(file)
	if err != nil {
		return nil, err
	}
	var mounts []specs.Mount
	if err := specconv.Decode(name, raw, &mounts); err != nil {
		return nil, err
	}
	return mounts, nil
}
