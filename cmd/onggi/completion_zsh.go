package main

import (
	"fmt"
	"strings"
)

// zshScript describes the command line to zsh's _arguments.
func zshScript() string {
	var b strings.Builder
	b.WriteString("#compdef onggi\n# zsh completion for onggi; printed by \"onggi completion zsh\"\n\n")
	b.WriteString("_onggi_ids() {\n    local -a ids\n    ids=(${(f)\"$(onggi list --quiet 2>/dev/null)\"})\n    compadd -a ids\n}\n\n")
	b.WriteString("_onggi() {\n    local curcontext=$curcontext state line\n    local -a verbs\n    verbs=(\n")
	for _, cmd := range listed() {
		fmt.Fprintf(&b, "        %s\n", shellQuote(cmd.name+":"+cmd.summary))
	}
	b.WriteString("    )\n    _arguments -C \\\n")
	zshFlags(&b, "        ", withHelp(globalFlags(&globals{}).visible()))
	b.WriteString("        '1:command:->verb' '*::argument:->argument'\n")
	b.WriteString("    case $state in\n    verb) _describe command verbs ;;\n    argument)\n        case $words[1] in\n")
	for _, cmd := range listed() {
		fmt.Fprintf(&b, "        %s)\n            _arguments \\\n", cmd.name)
		zshFlags(&b, "                ", cmd.flags())
		fmt.Fprintf(&b, "                %s\n            ;;\n", strings.Join(cmd.zshArguments(), " "))
	}
	b.WriteString("        esac\n        ;;\n    esac\n}\n\n_onggi \"$@\"\n")
	return b.String()
}

// zshArguments returns the specifications of the positional arguments.
func (cmd *command) zshArguments() []string {
	var specs []string
	if words := cmd.firstWords(); words != nil {
		specs = append(specs, "'1:word:("+strings.Join(words, " ")+")'")
	}
	if cmd.completesIDs() {
		specs = append(specs, fmt.Sprintf("'%d:container:_onggi_ids'", len(specs)+1))
	}
	return append(specs, "'*:argument:_files'")
}

// zshFlags writes one line with an _arguments specification for each spelling of a
// flag.
func zshFlags(b *strings.Builder, indent string, options []option) {
	for _, o := range options {
		text := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(o.text)
		for _, word := range o.words() {
			fmt.Fprintf(b, "%s%s \\\n", indent, shellQuote(o.zshRepeat()+word+"["+text+"]"+o.zshValue()))
		}
	}
}

// zshRepeat returns the prefix that says whether a flag may be given again.
func (o *option) zshRepeat() string {
	if o.repeat {
		return "*"
	}
	return "(" + strings.Join(o.words(), " ") + ")"
}

// zshValue returns the part of the specification that completes a flag's value.
func (o *option) zshValue() string {
	switch {
	case o.arg == "":
		return ""
	case o.takesDir():
		return ":directory:_directories"
	case o.takesFile():
		return ":file:_files"
	case o.choices != nil:
		return ":choice:(" + strings.Join(o.choices, " ") + ")"
	}
	return ":value:"
}

// shellQuote quotes s as one word, for zsh and for fish.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
