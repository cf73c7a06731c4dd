package main

import (
	"errors"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

// errNoCheckpoint is the error of checkpoint and restore.
var errNoCheckpoint = errors.New("checkpoint and restore are not supported by this version of onggi")

func checkpointCommand() command {
	return command{
		Name: "checkpoint", Args: "<container-id>", Max: cli.Many, Hidden: true,
		Summary: "write a running container to disk (not supported yet)",
		Define:  refuseCheckpoint,
	}
}

func restoreCommand() command {
	return command{
		Name: "restore", Args: "<container-id>", Max: cli.Many, Hidden: true,
		Summary: "start a container from a checkpoint (not supported yet)",
		Define:  refuseCheckpoint,
	}
}

// refuseCheckpoint lets --help through: Podman runs `checkpoint --help` of any
// runtime and expects success. It refuses everything else, whatever flags there
// are, with the one true reason.
func refuseCheckpoint(f *flags) action {
	f.Lenient = true
	return func(*call) error { return errNoCheckpoint }
}
