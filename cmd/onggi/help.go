package main

import (
	"fmt"
	"io"
	"strings"
)

// textWidth is the longest line of a help text.
const textWidth = 80

// about describes onggi, for the help and the man page.
const about = `onggi runs containers that are prepared as OCI bundles: a directory with a
config.json and a root file system. It is mostly called by container engines,
and takes the command line of runc.

A first container, from a directory with a root file system in rootfs/:

    onggi spec
    onggi run first`

func helpCommand() command {
	return command{
		name: "help", args: "[command]", max: 1,
		summary: "explain onggi or one of its commands",
		define:  func(*flags) action { return showHelp },
	}
}

func showHelp(c *call) error {
	if len(c.args) == 0 {
		return printHelp(c.std.out, nil)
	}
	cmd := lookup(c.args[0])
	if cmd == nil {
		return unknownCommand(c.args[0])
	}
	return printHelp(c.std.out, cmd)
}

// printHelp prints the help of a command, or that of onggi for nil.
func printHelp(w io.Writer, cmd *command) error {
	text := overview()
	if cmd != nil {
		text = cmd.help()
	}
	_, err := io.WriteString(w, text)
	return err
}

// overview returns the help text of onggi itself.
func overview() string {
	var b strings.Builder
	b.WriteString("NAME:\n   onggi - OCI container runtime\n\n")
	b.WriteString("USAGE:\n   onggi [global flags] <command> [flags] [arguments]\n\n" + about + "\n\nCOMMANDS:\n")
	for _, cmd := range listed() {
		fmt.Fprintf(&b, "  %-12s %s\n", cmd.name, cmd.summary)
	}
	b.WriteString("\nGLOBAL OPTIONS:\n")
	writeFlags(&b, globalFlags(&globals{}))
	b.WriteString("\nonggi help <command> explains a command and its flags.\n")
	return b.String()
}

// help returns the help text of a command.
func (cmd *command) help() string {
	f := &flags{}
	cmd.define(f)
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n   onggi %s - %s\n\nUSAGE:\n   %s\n", cmd.name, cmd.summary, cmd.usage())
	if cmd.detail != "" {
		b.WriteString("\n" + cmd.detail + "\n")
	}
	b.WriteString("\nOPTIONS:\n")
	writeFlags(&b, f)
	return b.String()
}

// writeFlags lists flags, each with its text beside or below its name.
func writeFlags(b *strings.Builder, f *flags) {
	const column = 28
	for _, o := range withHelp(f.visible()) {
		left := "  " + o.spelling()
		for _, line := range wrap(o.explanation(), textWidth-column) {
			if len(left) > column-2 {
				fmt.Fprintln(b, left)
				left = ""
			}
			fmt.Fprintf(b, "%-*s%s\n", column, left, line)
			left = ""
		}
	}
}

// withHelp adds --help, which every command has.
func withHelp(options []option) []option {
	return append(options, option{name: "help", short: "h", text: "print this help"})
}

// spelling returns the flag as the help text shows it: "-b, --bundle DIR".
func (o *option) spelling() string {
	short := "    "
	if o.short != "" {
		short = "-" + o.short + ", "
	}
	return strings.TrimRight(short+dashed(o.name)+" "+o.arg, " ")
}

// explanation returns the flag's text with its default.
func (o *option) explanation() string {
	text := o.text
	if o.repeat {
		text += " (may be repeated)"
	}
	if o.initial != "" && o.initial != "0" {
		text += " (default: " + o.initial + ")"
	}
	return text
}

// wrap breaks text into lines of at most width bytes.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
