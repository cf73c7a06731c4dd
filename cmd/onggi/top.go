package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func topCommand() command {
	return command{
		Name: "top", Args: "[container-id...]", Max: cli.Many,
		Summary: "watch the use of resources by containers, in a live table",
		Detail: `Prints one line for each live container: the processor time of the last interval
(100 is one processor), memory without unused file pages, its limit, processes,
bytes read and written in a second, and pressure: the percentage of the last ten
seconds in which some process waited for a processor, for memory and for I/O. If
the bandwidth of a container is limited, its traffic in each second follows:
bytes sent and received, and packets passed, dropped and marked for congestion.

The keys c, m and n sort by processor time, memory and name; q ends it. Where
the output is no terminal, the table is printed once.`,
		Manual: cli.Manual{Examples: `All containers, and two of them every five seconds:

    onggi top
    onggi top --interval 5s web db

The use of the last ten seconds, for a log:

    onggi top --once --interval 10s >>top.log`},
		Define: defineTop,
	}
}

func defineTop(f *flags) action {
	interval, once := time.Second, false
	f.Add(cli.Option{
		Name: "interval", Arg: "DURATION", Initial: interval.String(), Text: "time between two looks",
		Set: func(v string) (err error) { interval, err = parseInterval(v); return err },
	})
	f.Bool(&once, "once", "", "print the table once, after one interval, and end")
	return func(c *call) error {
		r, err := c.runtime()
		if err != nil {
			return err
		}
		if err := known(r, c.args); err != nil {
			return err
		}
		if once || !isTerminal(c.std.in) || !isTerminal(c.std.out) {
			return topOnce(c, r, interval)
		}
		t := &top{screen: screen{in: c.std.in, out: c.std.out}, runtime: r, named: c.args, by: byCPU}
		return t.watch(c.ctx, interval)
	}
}

// known checks that the named containers exist. top itself also shows containers that come and go.
func known(r *libcontainer.Runtime, ids []string) error {
	var errs []error
	for _, id := range ids {
		c, err := r.Load(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.Close()
	}
	return errors.Join(errs...)
}

// topOnce prints the table once. It looks twice, because rates need two looks.
func topOnce(c *call, r *libcontainer.Runtime, interval time.Duration) error {
	m := &meter{}
	if _, err := m.look(r, c.args); err != nil {
		return err
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	all, err := m.look(r, c.args)
	if err != nil {
		return err
	}
	byCPU.sort(all)
	return printUsage(c.std.out, all)
}

// printUsage prints the table without a terminal, whose width would cut ids.
func printUsage(w io.Writer, all []usage) error {
	figures := figuresOf(all)
	width := figures + fewest
	for _, u := range all {
		width = max(width, figures+len(u.id))
	}
	_, err := fmt.Fprintln(w, heading(width, figures))
	for _, u := range all {
		if err == nil {
			_, err = fmt.Fprintln(w, u.line(width, figures))
		}
	}
	return err
}

// top is the table on a terminal.
type top struct {
	screen
	meter
	runtime *libcontainer.Runtime
	named   []string
	by      order
	all     []usage // result of the last look
}

// watch shows the table until a key, a signal or the loss of the terminal ends it.
func (t *top) watch(ctx context.Context, interval time.Duration) (err error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP, unix.SIGWINCH, unix.SIGTSTP)
	defer signal.Stop(signals)
	if err := t.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.restore()) }()
	keys := t.keys()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for err = t.update(); err == nil; {
		more := true
		select {
		case <-ticker.C:
			err = t.update()
		case key, ok := <-keys:
			more, err = ok && t.key(key), t.draw()
		case sig := <-signals:
			more, err = t.signal(sig)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !more {
			return err
		}
	}
	return err
}

// update looks again and draws.
func (t *top) update() (err error) {
	if t.all, err = t.look(t.runtime, t.named); err != nil {
		return err
	}
	return t.draw()
}

func (t *top) draw() error {
	width, height := t.size()
	return t.show(frame(t.all, t.by, time.Now(), width, height))
}

// key handles a key. It returns false if the key ends top.
func (t *top) key(key byte) bool {
	if slices.Contains([]order{byCPU, byMemory, byName}, order(key)) {
		t.by = order(key)
	}
	return key != 'q'
}

// signal handles a signal. more is false if the signal ends top.
func (t *top) signal(sig os.Signal) (more bool, err error) {
	switch sig {
	case unix.SIGWINCH:
		return true, t.draw()
	case unix.SIGTSTP:
		return true, t.suspend()
	}
	return false, nil
}

// suspend gives the terminal to the shell until the shell continues onggi.
func (t *top) suspend() error {
	if err := t.restore(); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	if err := t.prepare(); err != nil {
		return err
	}
	return t.update()
}

// stop stops the process, and returns when it is continued. The signal goes to the calling thread:
// that would run on for a moment if another thread took the signal.
func stop() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
}
