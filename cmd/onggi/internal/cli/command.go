package cli

import (
	"errors"
	"fmt"
	"strings"
)

// A Program is a command line with commands. C is the argument of their actions.
type Program[C any] struct {
	// Commands returns all commands in the order of the help.
	Commands func() []Command[C]
	// Globals declares the flags that go before the command.
	Globals func() *Flags
	// Foreign returns this program's name for a command that other programs name
	// otherwise, or "".
	Foreign func(name string) string
	// About describes the program, for the help and the man page.
	About string
	// Manual is the rest of the man page.
	Manual Manual
}

// A Command is one verb. Everything but its action is data, for the parser and for the
// help texts.
type Command[C any] struct {
	Name    string
	Args    string // the positional arguments as the usage line shows them
	Min     int    // lowest number of positional arguments
	Max     int    // highest number; Many for any number
	Summary string // one line, lower case, no full stop
	Detail  string // paragraphs
	Manual  Manual // the rest of the man page
	Hidden  bool   // left out of lists
	// Foreign says that a command line of another program follows the first
	// positional argument, flags included.
	Foreign bool
	// Explain returns the reason why a flag is unknown, or "". It may be nil.
	Explain func(flag string) string
	// Define declares the flags and returns the action that uses them.
	Define func(f *Flags) func(C) error
}

// Many is a Command.Max without limit.
const Many = int(^uint(0) >> 1)

// Listed returns the commands that help lists.
func (p *Program[C]) Listed() []Command[C] {
	var all []Command[C]
	for _, cmd := range p.Commands() {
		if !cmd.Hidden {
			all = append(all, cmd)
		}
	}
	return all
}

// Names returns the names of the listed commands.
func (p *Program[C]) Names() []string {
	var all []string
	for _, cmd := range p.Listed() {
		all = append(all, cmd.Name)
	}
	return all
}

// Lookup finds a command by name. It returns nil if there is none.
func (p *Program[C]) Lookup(name string) *Command[C] {
	if name == "h" {
		name = "help"
	}
	all := p.Commands()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// ErrHelp means that the command line asks for help.
var ErrHelp = errors.New("help is asked for")

// Parse parses the arguments of a command. It returns the positional arguments and the
// action, which uses the values of the flags. The error is ErrHelp or a *UsageError.
func (p *Program[C]) Parse(cmd *Command[C], args []string) ([]string, func(C) error, error) {
	f := &Flags{}
	act := cmd.Define(f)
	args, err := f.Parse(args, !cmd.Foreign)
	if f.Help {
		return nil, nil, ErrHelp
	}
	if err != nil {
		return nil, nil, cmd.Misuse("%v", p.misplaced(cmd, err))
	}
	if err := cmd.CountArgs(args); err != nil {
		return nil, nil, err
	}
	return args, act, nil
}

// CountArgs checks the number of positional arguments. The error names a missing
// argument as the usage line does.
func (cmd *Command[C]) CountArgs(args []string) error {
	switch {
	case len(args) < cmd.Min:
		missing := strings.Fields(cmd.Args)[len(args)]
		return cmd.Misuse("%s: %s is missing", cmd.wants(), missing)
	case len(args) > cmd.Max:
		return cmd.Misuse("%s: unexpected argument %q", cmd.wants(), args[cmd.Max])
	}
	return nil
}

// wants returns runc's words for a wrong number of arguments.
func (cmd *Command[C]) wants() string {
	if cmd.Min == cmd.Max {
		return fmt.Sprintf("%q requires exactly %d argument(s)", cmd.Name, cmd.Min)
	}
	if cmd.Max == Many {
		return fmt.Sprintf("%q requires a minimum of %d argument(s)", cmd.Name, cmd.Min)
	}
	return fmt.Sprintf("%q requires from %d to %d argument(s)", cmd.Name, cmd.Min, cmd.Max)
}

// misplaced explains an unknown flag that has a meaning elsewhere: a global flag, or one
// that the command explains.
func (p *Program[C]) misplaced(cmd *Command[C], err error) error {
	var unknown *unknownFlag
	if !errors.As(err, &unknown) {
		return err
	}
	why := ""
	switch {
	case p.Globals().Find(unknown.name) != nil:
		why = Dashed(unknown.name) + " is a global flag: it goes before the command"
	case cmd.Explain != nil:
		why = cmd.Explain(unknown.name)
	}
	if why == "" {
		return err
	}
	return fmt.Errorf("flag provided but not defined: -%s: %s", unknown.name, why)
}

// usage returns the command's usage line.
func (cmd *Command[C]) usage() string {
	words := []string{"onggi", cmd.Name}
	f := &Flags{}
	cmd.Define(f)
	if len(f.Visible()) > 0 {
		words = append(words, "[flags]")
	}
	if cmd.Args != "" {
		words = append(words, cmd.Args)
	}
	return strings.Join(words, " ")
}
