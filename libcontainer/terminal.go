package libcontainer

import (
	"context"
	"errors"
	"os"

	"github.com/onggi-dev/onggi/libcontainer/internal/sendfd"
)

// consoleFunc returns the function that hands over the pty master: to the socket if there is
// one, else to take.
func consoleFunc(ctx context.Context, socket string, take func(*os.File) error) func(*os.File) error {
	if socket == "" {
		return take
	}
	return func(master *os.File) error {
		defer master.Close()
		return sendfd.Master(ctx, socket, master, master.Name())
	}
}

func (c *creation) console(ctx context.Context) func(*os.File) error {
	return consoleFunc(ctx, c.o.ConsoleSocket, c.o.Console)
}

func (c *creation) checkTerminal() error {
	p := c.config.Spec.Process
	terminal := p != nil && p.Terminal
	switch {
	case terminal && c.o.ConsoleSocket == "" && c.o.Console == nil:
		return &Failure{Field: "/process/terminal", Err: ErrNoConsole}
	case !terminal && c.o.ConsoleSocket != "":
		return &Failure{Field: "/process/terminal", Err: errors.New("cannot use console socket if the runtime will not detach or allocate tty")}
	}
	return nil
}

// discardConsole is CreateOptions.Console of a caller that only plans or checks.
func discardConsole(*os.File) error { return errors.New("no terminal was asked for") }
