package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

func killCommand() command {
	return command{
		name: "kill", args: "<container-id> [signal]", min: 1, max: 2,
		summary: "send a signal to a container's first process",
		detail: `The signal is a name or a number: KILL, SIGKILL and 9 are the same, RTMIN+3 is
known too. Without one it is TERM.`,
		define: defineKill,
	}
}

func defineKill(f *flags) action {
	var all, regex bool
	f.bool(&all, "all", "a", "send the signal to all processes of the container")
	f.hide()
	f.bool(&regex, "regex", "r", "<container-id> is a regular expression that selects containers")
	return func(c *call) error {
		name := "TERM"
		if len(c.args) > 1 {
			name = c.args[1]
		}
		sig, err := libcontainer.ParseSignal(name)
		if err != nil {
			return &usageError{cmd: lookup("kill"), msg: err.Error()}
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		ids, err := selectIDs(r, c.args[0], regex)
		return errors.Join(err, forEach(ids, func(id string) error {
			container, err := r.Load(id)
			if err != nil {
				return err
			}
			return kill(container, sig, all)
		}))
	}
}

// kill sends a signal. With --all a container that has stopped already is no
// error: that is the flag's one use to engines.
func kill(container *libcontainer.Container, sig unix.Signal, all bool) error {
	err := container.Kill(sig, all)
	if all && errors.Is(err, libcontainer.ErrNotRunning) {
		return nil
	}
	return err
}
