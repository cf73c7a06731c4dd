package main

import (
	"fmt"
	"io"
	"strings"
)

func completionCommand() command {
	return command{
		name: "completion", args: "<bash|zsh|fish>", min: 1, max: 1,
		summary: "print a completion script for a shell",
		detail: `The script goes where the shell looks for it, for example:

    onggi completion bash > /etc/bash_completion.d/onggi
    onggi completion zsh > /usr/share/zsh/site-functions/_onggi
    onggi completion fish > /etc/fish/completions/onggi.fish`,
		define: func(*flags) action { return printCompletion },
	}
}

func printCompletion(c *call) error {
	scripts := map[string]func() string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	script, ok := scripts[c.args[0]]
	if !ok {
		return &usageError{cmd: lookup("completion"), msg: fmt.Sprintf("no completion for shell %q: bash, zsh and fish are known", c.args[0])}
	}
	_, err := io.WriteString(c.std.out, script())
	return err
}

// flags returns the command's visible flags, --help among them.
func (cmd *command) flags() []option {
	f := &flags{}
	cmd.define(f)
	return withHelp(f.visible())
}

// completesIDs reports whether an argument is the id of an existing container.
func (cmd *command) completesIDs() bool {
	invents := cmd.name == "create" || cmd.name == "run" || cmd.name == "plan"
	return strings.Contains(cmd.args, "container-id") && !invents
}

// firstWords returns the possible words of the first argument if there are only a
// few: "<add|remove> ..." has two.
func (cmd *command) firstWords() []string {
	if cmd.name == "help" {
		return names()
	}
	first, _, _ := strings.Cut(cmd.args, " ")
	words := strings.Split(strings.Trim(first, "<>"), "|")
	if len(words) == 1 {
		return nil
	}
	return words
}

// words returns the spellings of a flag.
func (o *option) words() []string {
	if o.short == "" {
		return []string{dashed(o.name)}
	}
	return []string{dashed(o.short), dashed(o.name)}
}

// takesDir and takesFile report whether the value of a flag is a directory or a
// file.
func (o *option) takesDir() bool  { return o.arg == "DIR" && o.name != "cwd" }
func (o *option) takesFile() bool { return strings.Contains(o.arg, "FILE") || o.arg == "PATH" }
