package cli

import (
	"fmt"
	"strings"
)

// bashScript completes commands, flags, their values and container ids. Everything
// else is completed as a file.
func (p *Program[C]) bashScript() string {
	var b strings.Builder
	b.WriteString(`# bash completion for onggi; printed by "onggi completion bash"
_onggi() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i
    local root=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
`)
	global := withHelp(p.Globals().Visible())
	fmt.Fprintf(&b, "        --root) root=(--root \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n")
	fmt.Fprintf(&b, "        %s) ((i++)) ;;\n", strings.Join(valued(global, "root"), "|"))
	b.WriteString(`        -*) ;;
        *) verb=${COMP_WORDS[i]}; break ;;
        esac
    done
    case $verb:$prev in
`)
	bashValues(&b, "", global)
	for _, cmd := range p.Listed() {
		bashValues(&b, cmd.Name, cmd.options())
	}
	b.WriteString("    esac\n    case $verb in\n")
	fmt.Fprintf(&b, "    '') COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", strings.Join(append(bashWords(global), p.Names()...), " "))
	for _, cmd := range p.Listed() {
		ids := ""
		if cmd.completesIDs() {
			ids = " $(onggi \"${root[@]}\" list --quiet 2>/dev/null)"
		}
		fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W \"%s%s\" -- \"$cur\")) ;;\n", cmd.Name, strings.Join(append(bashWords(cmd.options()), p.firstWords(&cmd)...), " "), ids)
	}
	b.WriteString("    esac\n}\ncomplete -o default -F _onggi onggi\n")
	return b.String()
}

// bashValues writes the patterns that complete the values of flags.
func bashValues(b *strings.Builder, verb string, options []Option) {
	for _, o := range options {
		if o.Arg == "" {
			continue
		}
		how := "return"
		switch {
		case o.takesDir():
			how = `compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return`
		case o.takesFile():
			how = `compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return`
		case o.Choices != nil:
			how = fmt.Sprintf(`COMPREPLY=($(compgen -W '%s' -- "$cur")); return`, strings.Join(o.Choices, " "))
		}
		var patterns []string
		for _, w := range o.words() {
			patterns = append(patterns, verb+":"+w)
		}
		fmt.Fprintf(b, "    %s) %s ;;\n", strings.Join(patterns, "|"), how)
	}
}

// bashWords returns the long spellings, which are easier to read.
func bashWords(options []Option) []string {
	var words []string
	for _, o := range options {
		words = append(words, Dashed(o.Name))
	}
	return words
}

// valued returns the spellings of the flags with a value, except the flag but.
func valued(options []Option, but string) []string {
	var words []string
	for _, o := range options {
		if o.Arg != "" && o.Name != but {
			words = append(words, o.words()...)
		}
	}
	return words
}
