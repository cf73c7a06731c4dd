package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// flags are the options of one command: first declared, then parsed. The syntax is
// that of package flag: -x and --x are the same, a value follows in the next argument
// or after "=", and a boolean flag takes a value only after "=". Package flag itself is
// not used: it reports a mistake as a finished sentence. These flags report the cause,
// so that the error can suggest the most similar flag.
type flags struct {
	all     []option
	lenient bool // skips flags that are not declared
	help    bool // -h or --help was given
}

// An option is one declared flag.
type option struct {
	name    string // without dashes
	short   string // one letter, or ""
	arg     string // name of the value in help; "" for a boolean
	initial string // default value as help shows it
	text    string // help, lower case
	choices []string
	hidden  bool // accepted, but left out of help
	repeat  bool // may be given several times
	set     func(value string) error
}

func (f *flags) add(o option) { f.all = append(f.all, o) }

// bool declares a flag without a value.
func (f *flags) bool(p *bool, name, short, text string) {
	f.add(option{name: name, short: short, text: text, set: func(v string) (err error) {
		if *p, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("%q is not true or false", v)
		}
		return nil
	}})
}

// string declares a flag whose value is any text; *p is its default.
func (f *flags) string(p *string, name, short, arg, text string) {
	f.add(option{name: name, short: short, arg: arg, initial: *p, text: text, set: func(v string) error {
		*p = v
		return nil
	}})
}

// strings declares a flag that may be given several times.
func (f *flags) strings(p *[]string, name, short, arg, text string) {
	f.each(name, short, arg, text, func(v string) error {
		*p = append(*p, v)
		return nil
	})
}

// each declares a flag that may be given several times, with its own parser.
func (f *flags) each(name, short, arg, text string, set func(string) error) {
	f.add(option{name: name, short: short, arg: arg, text: text, repeat: true, set: set})
}

// count declares a flag whose value is a number, 0 or more.
func (f *flags) count(p *int, name, short, text string) {
	f.add(option{name: name, short: short, arg: "N", initial: strconv.Itoa(*p), text: text, set: func(v string) error {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is not a number of 0 or more", v)
		}
		*p = int(n)
		return nil
	}})
}

// choice declares a flag with a few possible words and a default, *p. An empty default
// may be given too: scripts and engines pass an empty value for "not set".
func (f *flags) choice(p *string, name, short, text string, choices ...string) {
	initial := *p
	f.add(option{
		name: name, short: short, arg: strings.Join(choices, "|"), initial: initial, text: text, choices: choices,
		set: func(v string) error {
			if v != initial && !slices.Contains(choices, v) {
				return fmt.Errorf("%sit is none of %s", choiceWords(name, v), strings.Join(choices, ", "))
			}
			*p = v
			return nil
		},
	})
}

// choiceWords returns the beginning of runc's error for a wrong value of its own flags.
func choiceWords(name, value string) string {
	switch name {
	case "format":
		return "invalid format option: "
	case "log-format":
		return "invalid log-format: " + value + ": "
	}
	return ""
}

// hide leaves the flag that was declared last out of the help texts.
func (f *flags) hide() { f.all[len(f.all)-1].hidden = true }

// visible returns the flags that help lists.
func (f *flags) visible() []option {
	return slices.DeleteFunc(slices.Clone(f.all), func(o option) bool { return o.hidden })
}

// find returns the option with this name or letter, or nil.
func (f *flags) find(name string) *option {
	for i, o := range f.all {
		if o.name == name || o.short != "" && o.short == name {
			return &f.all[i]
		}
	}
	return nil
}

// parse sets the flags in args and returns the positional arguments. Flags end at "--".
// If mixed is false, they also end at the first positional argument.
func (f *flags) parse(args []string, mixed bool) ([]string, error) {
	var positional []string
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			return append(positional, args[1:]...), nil
		case len(arg) > 1 && arg[0] == '-':
			rest, err := f.parseOne(arg, args[1:])
			if err != nil || f.help {
				return nil, err
			}
			args = rest
		case !mixed:
			return args, nil
		default:
			positional = append(positional, arg)
			args = args[1:]
		}
	}
	return positional, nil
}

// parseOne sets one flag and returns the rest of the arguments. It takes a missing value
// from rest.
func (f *flags) parseOne(arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	o := f.find(name)
	switch {
	case o == nil && (name == "help" || name == "h"):
		f.help = !hasValue || value != "false"
		return rest, nil
	case o == nil && f.lenient:
		return rest, nil
	case o == nil:
		return nil, &unknownFlag{name: name, near: f.near(name), joined: f.joined(arg)}
	case !hasValue && o.arg == "":
		value = "true"
	case !hasValue && len(rest) == 0:
		return nil, fmt.Errorf("flag needs an argument: -%s: give %s %s", name, dashed(name), o.arg)
	case !hasValue:
		value, rest = rest[0], rest[1:]
	}
	if err := o.set(value); err != nil {
		return nil, wrongValue(name, value, err)
	}
	return rest, nil
}

// wrongValue puts the words of package flag, which are runc's, in front of err. A
// limitError has all of runc's words already.
func wrongValue(name, value string, err error) error {
	if w := (*limitError)(nil); errors.As(err, &w) {
		return err
	}
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, strconv.Quote(value)+" "); ok {
		text = "it " + rest
	}
	return fmt.Errorf("invalid value %q for flag -%s: %s", value, name, text)
}

// near returns the declared name that is most similar to a mistyped one.
func (f *flags) near(name string) string {
	var names []string
	for _, o := range f.visible() {
		names = append(names, o.name)
	}
	return nearest(name, names)
}

// joined returns the letters of an argument such as -it that are flags by themselves.
// The syntax of package flag, which is runc's, does not join letters.
func (f *flags) joined(arg string) []string {
	name, _, _ := strings.Cut(arg[1:], "=")
	if strings.HasPrefix(name, "-") || len(name) > 3 { // a word
		return nil
	}
	var letters []string
	for _, c := range name {
		if o := f.find(string(c)); o != nil && !o.hidden {
			letters = append(letters, "-"+string(c))
		}
	}
	return letters
}

// unknownFlag is a flag that the command does not have.
type unknownFlag struct {
	name   string
	near   string   // most similar flag, or ""
	joined []string // flags whose letters were joined
}

func (e *unknownFlag) Error() string {
	if len(e.joined) > 0 && e.near == "" {
		return fmt.Sprintf("flag provided but not defined: -%s: letters stand alone, as in %s", e.name, strings.Join(e.joined, " "))
	}
	msg := fmt.Sprintf("flag provided but not defined: -%s", e.name)
	if e.near != "" {
		msg += fmt.Sprintf(": did you mean %s?", dashed(e.near))
	}
	return msg
}

// dashed returns a flag's name with its dashes.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
