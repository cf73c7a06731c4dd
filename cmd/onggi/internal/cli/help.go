package cli

import (
	"fmt"
	"io"
	"strings"
)

// TextWidth is the longest line of a help text.
const TextWidth = 80

// PrintHelp prints the help of a command, or that of the program for nil.
func (p *Program[C]) PrintHelp(w io.Writer, cmd *Command[C]) error {
	var text string
	if cmd != nil {
		text = cmd.help()
	} else {
		text = p.overview()
	}
	_, err := io.WriteString(w, text)
	return err
}

// overview returns the help text of the program itself.
func (p *Program[C]) overview() string {
	var b strings.Builder
	b.WriteString("NAME:\n   onggi - OCI container runtime\n\n")
	b.WriteString("USAGE:\n   onggi [global flags] <command> [flags] [arguments]\n\n" + p.About + "\n\nCOMMANDS:\n")
	for _, cmd := range p.Listed() {
		fmt.Fprintf(&b, "  %-12s %s\n", cmd.Name, cmd.Summary)
	}
	b.WriteString("\nGLOBAL OPTIONS:\n")
	writeFlags(&b, p.Globals())
	b.WriteString("\nonggi help <command> explains a command and its flags.\n")
	return b.String()
}

// help returns the help text of a command.
func (cmd *Command[C]) help() string {
	f := &Flags{}
	cmd.Define(f)
	var b strings.Builder
	fmt.Fprintf(&b, "NAME:\n   onggi %s - %s\n\nUSAGE:\n   %s\n", cmd.Name, cmd.Summary, cmd.usage())
	if cmd.Detail != "" {
		b.WriteString("\n" + cmd.Detail + "\n")
	}
	b.WriteString("\nOPTIONS:\n")
	writeFlags(&b, f)
	return b.String()
}

// writeFlags lists flags, each with its text beside or below its name.
func writeFlags(b *strings.Builder, f *Flags) {
	const column = 28
	for _, o := range withHelp(f.Visible()) {
		left := "  " + o.spelling()
		for _, line := range wrap(o.explanation(), TextWidth-column) {
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
func withHelp(options []Option) []Option {
	return append(options, Option{Name: "help", Short: "h", Text: "print this help"})
}

// spelling returns the flag as the help text shows it: "-b, --bundle DIR".
func (o *Option) spelling() string {
	short := "    "
	if o.Short != "" {
		short = "-" + o.Short + ", "
	}
	return strings.TrimRight(short+Dashed(o.Name)+" "+o.Arg, " ")
}

// explanation returns the flag's text with its default.
func (o *Option) explanation() string {
	text := o.Text
	if o.Repeat {
		text += " (may be repeated)"
	}
	if o.Initial != "" && o.Initial != "0" {
		text += " (default: " + o.Initial + ")"
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
