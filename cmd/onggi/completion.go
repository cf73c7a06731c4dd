package main

import (
	"io"
)

func completionCommand() command {
	return command{
		Name: "completion", Args: "<bash|zsh|fish>", Min: 1, Max: 1,
		Summary: "print a completion script for a shell",
		Detail: `The script goes where the shell looks for it, for example:

    onggi completion bash > /etc/bash_completion.d/onggi
    onggi completion zsh > /usr/share/zsh/site-functions/_onggi
    onggi completion fish > /etc/fish/completions/onggi.fish`,
		Define: func(*flags) action { return printCompletion },
	}
}

func printCompletion(c *call) error {
	script, ok := program().Completion(c.args[0])
	if !ok {
		return misuse("completion", "no completion for shell %q: bash, zsh and fish are known", c.args[0])
	}
	_, err := io.WriteString(c.std.out, script)
	return err
}
