package main

import (
	"fmt"
	"strings"
)

// fishScript returns a list of fish's complete commands.
func fishScript() string {
	var b strings.Builder
	b.WriteString("# fish completion for onggi; printed by \"onggi completion fish\"\ncomplete -c onggi -f\n")
	fishFlags(&b, "__fish_use_subcommand", withHelp(globalFlags(&globals{}).visible()))
	for _, cmd := range listed() {
		fmt.Fprintf(&b, "complete -c onggi -n __fish_use_subcommand -a %s -d %s\n", cmd.name, shellQuote(cmd.summary))
		condition := shellQuote("__fish_seen_subcommand_from " + cmd.name)
		fishFlags(&b, condition, cmd.flags())
		if words := cmd.firstWords(); words != nil {
			fmt.Fprintf(&b, "complete -c onggi -n %s -a %s\n", condition, shellQuote(strings.Join(words, " ")))
		}
		if strings.Contains(cmd.args, "<file>") || strings.Contains(cmd.args, "[bundle]") {
			fmt.Fprintf(&b, "complete -c onggi -n %s -F\n", condition)
		}
		if cmd.completesIDs() {
			fmt.Fprintf(&b, "complete -c onggi -n %s -a '(onggi list --quiet 2>/dev/null)'\n", condition)
		}
	}
	return b.String()
}

func fishFlags(b *strings.Builder, condition string, options []option) {
	for _, o := range options {
		words := "-l " + o.name
		if o.short != "" {
			words = "-s " + o.short + " " + words
		}
		fmt.Fprintf(b, "complete -c onggi -n %s %s%s -d %s\n", condition, words, o.fishValue(), shellQuote(o.text))
	}
}

// fishValue says whether a flag has a value, and how fish completes it.
func (o *option) fishValue() string {
	switch {
	case o.arg == "":
		return ""
	case o.takesDir():
		return " -r -a '(__fish_complete_directories)'"
	case o.takesFile():
		return " -r -F"
	case o.choices != nil:
		return " -x -a " + shellQuote(strings.Join(o.choices, " "))
	}
	return " -x"
}
