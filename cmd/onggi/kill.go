package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func killCommand() command {
	return command{
		Name: "kill", Args: "<container-id> [signal]", Min: 1, Max: 2,
		Summary: "send a signal to a container's first process",
		Detail: `The signal is a name or a number: KILL, SIGKILL and 9 are equal, and RTMIN+3 is
valid. The default is the signal in the container's annotation
org.opencontainers.image.stopSignal, or TERM.`,
		Manual: cli.Manual{Examples: `    onggi kill web
    onggi kill web HUP
    onggi kill web KILL

All containers whose ids begin with build-:

    onggi kill --regex '^build-' TERM`},
		Explain: explainSignal,
		Define:  defineKill,
	}
}

func defineKill(f *flags) action {
	var all, regex bool
	f.Bool(&all, "all", "a", "send the signal to all processes of the container")
	f.Hide()
	f.Bool(&regex, "regex", "r", "<container-id> is an extended regular expression (POSIX) that selects containers")
	return func(c *call) error {
		choose := stopSignal
		if len(c.args) > 1 && c.args[1] != "" { // scripts may pass an empty variable
			sig, err := libcontainer.ParseSignal(c.args[1])
			if err != nil {
				return misuse("kill", "%v", err)
			}
			choose = func(*libcontainer.Container) (unix.Signal, error) { return sig, nil }
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		ids, err := selectIDs(c.ctx, r, c.args[0], regex)
		return errors.Join(err, forEach(ids, func(id string) error {
			container, err := r.Load(id)
			if err != nil {
				return err
			}
			sig, err := choose(container)
			if err != nil {
				return err
			}
			return kill(container, sig, all)
		}))
	}
}

// explainSignal explains a flag of kill(1): -9, -KILL, -s, --signal.
func explainSignal(flag string) string {
	if _, err := libcontainer.ParseSignal(flag); err == nil || flag == "s" || flag == "signal" {
		return "the signal goes after the container id, without a dash"
	}
	return ""
}

// stopSignal returns the signal that stops the container (config.md, "Annotations").
func stopSignal(container *libcontainer.Container) (unix.Signal, error) {
	const key = "org.opencontainers.image.stopSignal"
	state, err := container.State()
	if err != nil {
		return 0, err
	}
	name := state.Annotations[key]
	if name == "" {
		return unix.SIGTERM, nil
	}
	sig, err := libcontainer.ParseSignal(name)
	if err != nil {
		return 0, fmt.Errorf("annotation %s: %w", key, err)
	}
	return sig, nil
}

// kill sends a signal. With --all it is no error if the container has stopped already:
// engines use the flag only for that.
func kill(container *libcontainer.Container, sig unix.Signal, all bool) error {
	err := container.Kill(sig, all)
	if all && errors.Is(err, libcontainer.ErrNotRunning) {
		return nil
	}
	return err
}
