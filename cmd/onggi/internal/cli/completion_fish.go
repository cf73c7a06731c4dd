package cli

import (
	"fmt"
	"strings"
)

// fishScript returns a list of fish's complete commands.
func (p *Program[C]) fishScript() string {
	var b strings.Builder
	b.WriteString("# fish completion for onggi; printed by \"onggi completion fish\"\ncomplete -c onggi -f\n")
	fishFlags(&b, "__fish_use_subcommand", withHelp(p.Globals().Visible()))
	for _, cmd := range p.Listed() {
		fmt.Fprintf(&b, "complete -c onggi -n __fish_use_subcommand -a %s -d %s\n", cmd.Name, shellQuote(cmd.Summary))
		condition := shellQuote("__fish_seen_subcommand_from " + cmd.Name)
		fishFlags(&b, condition, cmd.options())
		if words := p.firstWords(&cmd); words != nil {
			fmt.Fprintf(&b, "complete -c onggi -n %s -a %s\n", condition, shellQuote(strings.Join(words, " ")))
		}
		if strings.Contains(cmd.Args, "<file>") || strings.Contains(cmd.Args, "[bundle]") {
			fmt.Fprintf(&b, "complete -c onggi -n %s -F\n", condition)
		}
		if cmd.completesIDs() {
			fmt.Fprintf(&b, "complete -c onggi -n %s -a '(onggi list --quiet 2>/dev/null)'\n", condition)
		}
	}
	return b.String()
}

func fishFlags(b *strings.Builder, condition string, options []Option) {
	for _, o := range options {
		words := "-l " + o.Name
		if o.Short != "" {
			words = "-s " + o.Short + " " + words
		}
		fmt.Fprintf(b, "complete -c onggi -n %s %s%s -d %s\n", condition, words, o.fishValue(), shellQuote(o.Text))
	}
}

// fishValue says whether a flag has a value, and how fish completes it.
func (o *Option) fishValue() string {
	switch {
	case o.Arg == "":
		return ""
	case o.takesDir():
		return " -r -a '(__fish_complete_directories)'"
	case o.takesFile():
		return " -r -F"
	case o.Choices != nil:
		return " -x -a " + shellQuote(strings.Join(o.Choices, " "))
	}
	return " -x"
}
