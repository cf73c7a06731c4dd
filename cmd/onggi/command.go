package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// The types of the verbs.
type (
	command = cli.Command[*call]
	flags   = cli.Flags
	action  = func(c *call) error
)

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

// program returns onggi's command line.
func program() *cli.Program[*call] {
	return &cli.Program[*call]{
		Commands: commands,
		Globals:  func() *flags { return globalFlags(&globals{}) },
		Foreign:  elsewhere,
		About:    about,
		Manual: cli.Manual{
			Status:      " A run or exec that waits for its process ends with the status of that.",
			Environment: environment,
			Files:       stateFiles,
		},
	}
}

// misuse returns an error of a verb's flags or arguments.
func misuse(verb, format string, args ...any) error {
	return program().Lookup(verb).Misuse(format, args...)
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
