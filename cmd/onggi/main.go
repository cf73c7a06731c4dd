//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
//go:debug decoratemappings=0

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// stdio is the standard streams of the command. Tests pass files of their own.
type stdio struct {
	in, out, err *os.File
}

func main() {
	growStack()
	// One processor for the work and one for the goroutine that catches signals: more
	// would only look for work. With a single one, each system call that takes a
	// moment loses it and has to win it back.
	runtime.GOMAXPROCS(2)
	restoreSlack()
	os.Exit(run(os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// hideMemory keeps the configuration, which may hold secrets, out of core dumps and out of
// reach of other processes of this user. In a user namespace onggi would also lose access to
// its own files in /proc, so it does not do it there.
func hideMemory(r *libcontainer.Runtime) {
	if r.InUserNamespace() || os.Geteuid() != 0 {
		return
	}
	// prctl cannot fail for 0. If it did, only a second line of defence would be missing.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// run executes one command line and returns the exit status.
func run(args []string, std stdio) (status int) {
	log := newLogger(std.err)
	defer func() {
		if bug := recover(); bug != nil {
			log.debug(string(debug.Stack()))
			status = log.exit(fmt.Errorf("BUG: %v: please report it", bug))
		}
	}()
	return log.exit(dispatch(args, std, log))
}

// dispatch parses the global flags and runs the command.
func dispatch(args []string, std stdio, log *logger) error {
	line := program()
	g := globals{Runtime: runtimeOptions(log)}
	f := globalFlags(&g)
	args, err := f.Parse(args, false)
	if err == nil {
		err = g.combine()
	}
	// The log is opened even if a flag is wrong: engines look for the error there.
	if err := log.open(g.log, g.logFormat, g.level); err != nil {
		return err
	}
	if err != nil {
		return line.Misuse(err)
	}
	c := &call{ctx: context.Background(), std: std, log: log, globals: g}
	switch {
	case g.version:
		return printVersion(c)
	case f.Help || len(args) == 0:
		return line.PrintHelp(std.out, nil)
	}
	cmd := line.Lookup(args[0])
	if cmd == nil {
		return line.UnknownCommand(args[0])
	}
	t, err := openTrace(g.trace, cmd.Name)
	if err != nil {
		return err
	}
	defer t.write(log)
	c.globals.Runtime.Trace = t.recorder
	began := time.Now()
	log.debug("onggi " + versionName() + ": " + cmd.Name)
	span := t.recorder.Begin(timeline.Verb, cmd.Name)
	err = execute(c, line, cmd, args[1:])
	span.EndWith(failure(err))
	log.debug(cmd.Name + " took " + time.Since(began).String())
	return err
}

// execute parses the flags and arguments of a command and runs it.
func execute(c *call, line *cli.Program[*call], cmd *command, args []string) error {
	args, act, err := line.Parse(cmd, args)
	if err == cli.ErrHelp {
		return line.PrintHelp(c.std.out, cmd)
	}
	if err != nil {
		return err
	}
	c.args = args
	return act(c)
}
