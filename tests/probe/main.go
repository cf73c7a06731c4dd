// Command probe runs inside containers and reports the abilities and the view of a process there.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	commands := map[string]func([]string) error{
		"attributes": attributes,
		"deafen":     deafen,
		"deny":       deny,
		"keyring":    keyring,
		"notify":     notify,
		"obstacles":  obstacles,
		"overwrite":  overwrite,
		"receive":    receive,
		"scheduler":  scheduler,
		"seize":      seize,
		"send":       send,
		"socket":     socket,
		"stop":       stop,
		"type":       typeInto,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: probe COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// keyring prints the name of the session keyring.
func keyring([]string) error {
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, unix.KEY_SPEC_SESSION_KEYRING)
	fmt.Println(text[strings.LastIndexByte(text, ';')+1:])
	return err
}

// scheduler prints the scheduling policy by number (sched(7)) and the nice value.
func scheduler([]string) error {
	attr, err := unix.SchedGetAttr(os.Getpid(), 0)
	if err == nil {
		fmt.Println(attr.Policy, attr.Nice)
	}
	return err
}

// typeInto pushes characters into the terminal on standard input, as a person types them.
func typeInto([]string) error {
	for _, char := range "typed\n" {
		if err := unix.IoctlSetPointerInt(0, unix.TIOCSTI, int(char)); err != nil {
			return err
		}
	}
	return nil
}
