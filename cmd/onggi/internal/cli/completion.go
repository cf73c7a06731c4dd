package cli

import (
	"strings"
)

// Completion returns the completion script for a shell, and whether the shell is known.
func (p *Program[C]) Completion(shell string) (string, bool) {
	switch shell {
	case "bash":
		return p.bashScript(), true
	case "zsh":
		return p.zshScript(), true
	case "fish":
		return p.fishScript(), true
	}
	return "", false
}

// options returns the command's visible flags, including --help.
func (cmd *Command[C]) options() []Option {
	f := &Flags{}
	cmd.Define(f)
	return withHelp(f.Visible())
}

// completesIDs reports whether an argument is the id of an existing container.
func (cmd *Command[C]) completesIDs() bool {
	invents := cmd.Name == "create" || cmd.Name == "run" || cmd.Name == "plan"
	return strings.Contains(cmd.Args, "container-id") && !invents
}

// firstWords returns the possible words of the first argument if there are only a
// few: "<add|remove> ..." has two.
func (p *Program[C]) firstWords(cmd *Command[C]) []string {
	if cmd.Name == "help" {
		return p.Names()
	}
	first, _, _ := strings.Cut(cmd.Args, " ")
	words := strings.Split(strings.Trim(first, "<>"), "|")
	if len(words) == 1 {
		return nil
	}
	return words
}

// words returns the spellings of a flag.
func (o *Option) words() []string {
	if o.Short == "" {
		return []string{Dashed(o.Name)}
	}
	return []string{Dashed(o.Short), Dashed(o.Name)}
}

// takesDir and takesFile report whether the value of a flag is a directory or a
// file.
func (o *Option) takesDir() bool  { return o.Arg == "DIR" && o.Name != "cwd" }
func (o *Option) takesFile() bool { return strings.Contains(o.Arg, "FILE") || o.Arg == "PATH" }
