package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

func killCommand() command {
	return command{
		name: "kill", args: "<container-id> [signal]", min: 1, max: 2,
		summary: "send a signal to a container's first process",
		detail: `The signal is a name or a number: KILL, SIGKILL and 9 are the same, RTMIN+3 is
known too. Without one it is the one that the container's annotation
org.opencontainers.image.stopSignal names, or else TERM.`,
		manual: manual{examples: `    onggi kill web
    onggi kill web HUP
    onggi kill web KILL

All containers whose ids begin with build-:

    onggi kill --regex '^build-' TERM`},
		define: defineKill,
	}
}

func defineKill(f *flags) action {
	var all, regex bool
	f.bool(&all, "all", "a", "send the signal to all processes of the container")
	f.hide()
	f.bool(&regex, "regex", "r", "<container-id> is an extended regular expression (POSIX) that selects containers")
	return func(c *call) error {
		choose := stopSignal
		if len(c.args) > 1 && c.args[1] != "" { // scripts may pass an empty variable
			sig, err := libcontainer.ParseSignal(c.args[1])
			if err != nil {
				return &usageError{cmd: lookup("kill"), msg: err.Error()}
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

// namesSignal reports whether a flag is one of kill(1): -9, -KILL, -s, --signal.
func namesSignal(flag string) bool {
	_, err := libcontainer.ParseSignal(flag)
	return err == nil || flag == "s" || flag == "signal"
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
