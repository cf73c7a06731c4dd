package main

import "errors"

// errNoCheckpoint is the error of checkpoint and restore.
var errNoCheckpoint = errors.New("checkpoint and restore are not supported by this version of onggi")

func checkpointCommand() command {
	return command{
		name: "checkpoint", args: "<container-id>", max: many, hidden: true,
		summary: "write a running container to disk (not supported yet)",
		define:  refuseCheckpoint,
	}
}

func restoreCommand() command {
	return command{
		name: "restore", args: "<container-id>", max: many, hidden: true,
		summary: "start a container from a checkpoint (not supported yet)",
		define:  refuseCheckpoint,
	}
}

// refuseCheckpoint lets --help through: Podman runs `checkpoint --help` of any
// runtime and expects success. It refuses everything else, whatever flags there
// are, with the one true reason.
func refuseCheckpoint(f *flags) action {
	f.lenient = true
	return func(*call) error { return errNoCheckpoint }
}
