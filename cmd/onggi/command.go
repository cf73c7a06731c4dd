package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onggi-dev/onggi/libcontainer"
)

// A command is one verb. Everything but its action is data, for the parser and
// for the help texts.
type command struct {
	name    string
	args    string // the positional arguments as the usage line shows them
	min     int    // lowest number of positional arguments
	max     int    // highest number; many for any number
	summary string // one line, lower case, no full stop
	detail  string // paragraphs
	manual  manual // the rest of the man page
	hidden  bool   // left out of lists
	// foreign says that a command line of another program follows the first
	// positional argument, flags included.
	foreign bool
	// define declares the flags and returns the action that uses them.
	define func(f *flags) action
}

// many is a command.max without limit.
const many = int(^uint(0) >> 1)

// action is the work of a command after its flags are parsed.
type action func(c *call) error

// A call is one invocation of a command.
type call struct {
	ctx     context.Context
	std     stdio
	log     *logger
	globals globals
	args    []string // positional
}

// commands returns all verbs in the order of the help: the life of a container
// comes first.
func commands() []command {
	return []command{
		runCommand(),
		createCommand(),
		startCommand(),
		execCommand(),
		stateCommand(),
		listCommand(),
		psCommand(),
		topCommand(),
		killCommand(),
		pauseCommand(),
		resumeCommand(),
		updateCommand(),
		mountsCommand(),
		eventsCommand(),
		deleteCommand(),
		checkpointCommand(),
		restoreCommand(),
		specCommand(),
		planCommand(),
		checkCommand(),
		traceViewCommand(),
		featuresCommand(),
		helpCommand(),
		versionCommand(),
		completionCommand(),
		manCommand(),
	}
}

// listed returns the commands that help lists.
func listed() []command {
	var all []command
	for _, cmd := range commands() {
		if !cmd.hidden {
			all = append(all, cmd)
		}
	}
	return all
}

// names returns the names of the listed commands.
func names() []string {
	var all []string
	for _, cmd := range listed() {
		all = append(all, cmd.name)
	}
	return all
}

// lookup finds a command by name; nil if there is none.
func lookup(name string) *command {
	if name == "h" {
		name = "help"
	}
	all := commands()
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

// execute parses the command's flags and runs it.
func (cmd *command) execute(c *call) error {
	f := &flags{}
	act := cmd.define(f)
	args, err := f.parse(c.args, !cmd.foreign)
	if f.help {
		return printHelp(c.std.out, cmd)
	}
	if err != nil {
		return &usageError{cmd: cmd, msg: cmd.misplaced(err).Error()}
	}
	if err := cmd.countArgs(args); err != nil {
		return err
	}
	c.args = args
	return act(c)
}

// countArgs checks the number of positional arguments. The error names a missing
// argument as the usage line does.
func (cmd *command) countArgs(args []string) error {
	switch {
	case len(args) < cmd.min:
		missing := strings.Fields(cmd.args)[len(args)]
		return &usageError{cmd: cmd, msg: fmt.Sprintf("%s: %s is missing", cmd.wants(), missing)}
	case len(args) > cmd.max:
		return &usageError{cmd: cmd, msg: fmt.Sprintf("%s: unexpected argument %q", cmd.wants(), args[cmd.max])}
	}
	return nil
}

// wants returns runc's words for a wrong number of arguments.
func (cmd *command) wants() string {
	if cmd.min == cmd.max {
		return fmt.Sprintf("%q requires exactly %d argument(s)", cmd.name, cmd.min)
	}
	if cmd.max == many {
		return fmt.Sprintf("%q requires a minimum of %d argument(s)", cmd.name, cmd.min)
	}
	return fmt.Sprintf("%q requires from %d to %d argument(s)", cmd.name, cmd.min, cmd.max)
}

// misplaced explains an unknown flag that has a meaning elsewhere: a global flag,
// or a signal in the form of kill(1).
func (cmd *command) misplaced(err error) error {
	var unknown *unknownFlag
	switch {
	case !errors.As(err, &unknown):
		return err
	case globalFlags(&globals{}).find(unknown.name) != nil:
		return fmt.Errorf("flag provided but not defined: -%s: %s is a global flag: it goes before the command", unknown.name, dashed(unknown.name))
	case cmd.name == "kill" && namesSignal(unknown.name):
		return fmt.Errorf("flag provided but not defined: -%s: the signal goes after the container id, without a dash", unknown.name)
	}
	return err
}

// usage returns the command's usage line.
func (cmd *command) usage() string {
	words := []string{"onggi", cmd.name}
	f := &flags{}
	cmd.define(f)
	if len(f.visible()) > 0 {
		words = append(words, "[flags]")
	}
	if cmd.args != "" {
		words = append(words, cmd.args)
	}
	return strings.Join(words, " ")
}

// unknownCommand returns an error that suggests the most similar command.
func unknownCommand(name string) error {
	msg := fmt.Sprintf("No help topic for '%s': unknown command", name)
	near := elsewhere(name)
	if near == "" {
		near = nearest(name, names())
	}
	if near != "" {
		msg += fmt.Sprintf(": did you mean %q?", near)
	}
	return &usageError{msg: msg, status: unknownCommandStatus}
}

// elsewhere returns onggi's name for a command that container engines call
// otherwise.
func elsewhere(name string) string {
	switch name {
	case "ls":
		return "list"
	case "rm", "remove":
		return "delete"
	case "stop":
		return "kill"
	case "inspect":
		return "state"
	case "unpause":
		return "resume"
	case "info":
		return "features"
	}
	return ""
}

// runtime opens the state root with the global flags. Everything read from here on
// is confidential, so it hides the memory of the process first.
func (c *call) runtime() (*libcontainer.Runtime, error) {
	r, err := libcontainer.New(c.globals.Runtime)
	if err != nil {
		return nil, err
	}
	hideMemory(r)
	return r, nil
}

// container loads the container with the id of the first argument.
func (c *call) container() (*libcontainer.Container, error) { return c.load(c.args[0]) }

func (c *call) load(id string) (*libcontainer.Container, error) {
	r, err := c.runtime()
	if err != nil {
		return nil, err
	}
	return r.Load(id)
}

// maxInput bounds the size of an input file, as for config.json. A file without an
// end, or of another kind, is an error then.
const maxInput = 16 << 20

// read reads a whole file, or standard input for "-". name is the input's name in
// errors.
func (c *call) read(file string) (raw []byte, name string, err error) {
	if file == "-" {
		raw, err = readInput(c.std.in, "standard input")
		return raw, "standard input", err
	}
	raw, err = readFile(file)
	return raw, file, err
}

// readFile reads a whole file, which may be a pipe of the shell.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readInput(f, file)
}

func readInput(r io.Reader, name string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = fmt.Errorf("more than the limit of %d bytes", maxInput)
	}
	if err != nil && !errors.As(err, new(*os.PathError)) {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return raw, err
}
