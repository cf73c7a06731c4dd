package cli

import "fmt"

// UsageError is a command line that cannot be parsed. The hint, a usage line, follows the
// message on standard error.
type UsageError struct {
	Msg, Hint string
	// Status is the exit status; 0 means the usual 1.
	Status int
}

func (e *UsageError) Error() string { return e.Msg }

const programUsage = "usage: onggi [global flags] <command> ...; see onggi --help"

// Misuse returns an error of the command line before the command.
func (p *Program[C]) Misuse(err error) *UsageError {
	return &UsageError{Msg: err.Error(), Hint: programUsage}
}

// Misuse returns an error of the command's flags or arguments.
func (cmd *Command[C]) Misuse(format string, args ...any) *UsageError {
	return &UsageError{
		Msg:  fmt.Sprintf(format, args...),
		Hint: "usage: " + cmd.usage() + "; see onggi " + cmd.Name + " --help",
	}
}

// unknownCommandStatus is the exit status for an unknown command, as with runc.
const unknownCommandStatus = 3

// UnknownCommand returns an error that suggests the most similar command.
func (p *Program[C]) UnknownCommand(name string) *UsageError {
	msg := fmt.Sprintf("No help topic for '%s': unknown command", name)
	near := p.Foreign(name)
	if near == "" {
		near = nearest(name, p.Names())
	}
	if near != "" {
		msg += fmt.Sprintf(": did you mean %q?", near)
	}
	return &UsageError{Msg: msg, Hint: programUsage, Status: unknownCommandStatus}
}

// ValueError is a wrong value of a flag with all of runc's words for it, to which the
// parser adds nothing.
type ValueError struct {
	Flag string
	Err  error
}

func (e *ValueError) Error() string { return fmt.Sprintf("invalid value for %s: %v", e.Flag, e.Err) }
func (e *ValueError) Unwrap() error { return e.Err }
