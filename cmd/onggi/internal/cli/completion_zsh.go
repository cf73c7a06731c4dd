package cli

import (
	"fmt"
	"strings"
)

// zshScript describes the command line to zsh's _arguments.
func (p *Program[C]) zshScript() string {
	var b strings.Builder
	b.WriteString("#compdef onggi\n# zsh completion for onggi; printed by \"onggi completion zsh\"\n\n")
	b.WriteString("_onggi_ids() {\n    local -a ids\n    ids=(${(f)\"$(onggi list --quiet 2>/dev/null)\"})\n    compadd -a ids\n}\n\n")
	b.WriteString("_onggi() {\n    local curcontext=$curcontext state line\n    local -a verbs\n    verbs=(\n")
	for _, cmd := range p.Listed() {
		fmt.Fprintf(&b, "        %s\n", shellQuote(cmd.Name+":"+cmd.Summary))
	}
	b.WriteString("    )\n    _arguments -C \\\n")
	zshFlags(&b, "        ", withHelp(p.Globals().Visible()))
	b.WriteString("        '1:command:->verb' '*::argument:->argument'\n")
	b.WriteString("    case $state in\n    verb) _describe command verbs ;;\n    argument)\n        case $words[1] in\n")
	for _, cmd := range p.Listed() {
		fmt.Fprintf(&b, "        %s)\n            _arguments \\\n", cmd.Name)
		zshFlags(&b, "                ", cmd.options())
		fmt.Fprintf(&b, "                %s\n            ;;\n", strings.Join(p.zshArguments(&cmd), " "))
	}
	b.WriteString("        esac\n        ;;\n    esac\n}\n\n_onggi \"$@\"\n")
	return b.String()
}

// zshArguments returns the specifications of the positional arguments.
func (p *Program[C]) zshArguments(cmd *Command[C]) []string {
	var specs []string
	if words := p.firstWords(cmd); words != nil {
		specs = append(specs, "'1:word:("+strings.Join(words, " ")+")'")
	}
	if cmd.completesIDs() {
		specs = append(specs, fmt.Sprintf("'%d:container:_onggi_ids'", len(specs)+1))
	}
	return append(specs, "'*:argument:_files'")
}

// zshFlags writes one line with an _arguments specification for each spelling of a
// flag.
func zshFlags(b *strings.Builder, indent string, options []Option) {
	for _, o := range options {
		text := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(o.Text)
		for _, word := range o.words() {
			fmt.Fprintf(b, "%s%s \\\n", indent, shellQuote(o.zshRepeat()+word+"["+text+"]"+o.zshValue()))
		}
	}
}

// zshRepeat returns the prefix that says whether a flag may be given again.
func (o *Option) zshRepeat() string {
	if o.Repeat {
		return "*"
	}
	return "(" + strings.Join(o.words(), " ") + ")"
}

// zshValue returns the part of the specification that completes a flag's value.
func (o *Option) zshValue() string {
	switch {
	case o.Arg == "":
		return ""
	case o.takesDir():
		return ":directory:_directories"
	case o.takesFile():
		return ":file:_files"
	case o.Choices != nil:
		return ":choice:(" + strings.Join(o.Choices, " ") + ")"
	}
	return ":value:"
}

// shellQuote quotes s as one word, for zsh and for fish.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
