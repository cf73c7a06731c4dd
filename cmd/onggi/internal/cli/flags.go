package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Flags are the options of one command: first declared, then parsed. The syntax is
// that of package flag: -x and --x are the same, a value follows in the next argument
// or after "=", and a boolean flag takes a value only after "=". Package flag itself is
// not used: it reports a mistake as a finished sentence. These flags report the cause,
// so that the error can suggest the most similar flag.
type Flags struct {
	all  []Option
	Help bool // -h or --help was given
}

// An Option is one declared flag.
type Option struct {
	Name    string // without dashes
	Short   string // one letter, or ""
	Arg     string // name of the value in help; "" for a boolean
	Initial string // default value as help shows it
	Text    string // help, lower case
	Choices []string
	Hidden  bool // accepted, but left out of help
	Repeat  bool // may be given several times
	Set     func(value string) error
}

// Add declares a flag.
func (f *Flags) Add(o Option) {
	if f.all == nil {
		f.all = make([]Option, 0, usualFlags)
	}
	f.all = append(f.all, o)
}

// usualFlags is enough for the flags of nearly all commands. A list that grows takes memory of
// several sizes, and each new size touches new pages.
const usualFlags = 16

// Bool declares a flag without a value.
func (f *Flags) Bool(p *bool, name, short, text string) {
	f.Add(Option{Name: name, Short: short, Text: text, Set: func(v string) (err error) {
		if *p, err = strconv.ParseBool(v); err != nil {
			return errors.New("parse error: it is not true or false")
		}
		return nil
	}})
}

// String declares a flag whose value is any text; *p is its default.
func (f *Flags) String(p *string, name, short, arg, text string) {
	f.Add(Option{Name: name, Short: short, Arg: arg, Initial: *p, Text: text, Set: func(v string) error {
		*p = v
		return nil
	}})
}

// Strings declares a flag that may be given several times.
func (f *Flags) Strings(p *[]string, name, short, arg, text string) {
	f.Each(name, short, arg, text, func(v string) error {
		*p = append(*p, v)
		return nil
	})
}

// Each declares a flag that may be given several times, with its own parser.
func (f *Flags) Each(name, short, arg, text string, set func(string) error) {
	f.Add(Option{Name: name, Short: short, Arg: arg, Text: text, Repeat: true, Set: set})
}

// Count declares a flag whose value is a number, 0 or more.
func (f *Flags) Count(p *int, name, short, text string) {
	f.Add(Option{Name: name, Short: short, Arg: "N", Initial: strconv.Itoa(*p), Text: text, Set: func(v string) error {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return errors.New("parse error: it is not a number of 0 or more")
		}
		*p = int(n)
		return nil
	}})
}

// Choice declares a flag with a few possible words and a default, *p. An empty default
// may be given too: scripts and engines pass an empty value for "not set".
func (f *Flags) Choice(p *string, name, short, text string, choices ...string) {
	initial := *p
	f.Add(Option{
		Name: name, Short: short, Arg: strings.Join(choices, "|"), Initial: initial, Text: text, Choices: choices,
		Set: func(v string) error {
			if v != initial && !slices.Contains(choices, v) {
				return fmt.Errorf("%swant one of %s", choiceWords(name, v), strings.Join(choices, ", "))
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

// Hide leaves the flag that was declared last out of the help texts.
func (f *Flags) Hide() { f.all[len(f.all)-1].Hidden = true }

// All returns the declared flags.
func (f *Flags) All() []Option { return f.all }

// Visible returns the flags that help lists.
func (f *Flags) Visible() []Option {
	return slices.DeleteFunc(slices.Clone(f.all), func(o Option) bool { return o.Hidden })
}

// Find returns the option with this name or letter, or nil.
func (f *Flags) Find(name string) *Option {
	for i, o := range f.all {
		if o.Name == name || o.Short != "" && o.Short == name {
			return &f.all[i]
		}
	}
	return nil
}

// Parse sets the flags in args and returns the positional arguments. Flags end at "--".
// If mixed is false, they also end at the first positional argument.
func (f *Flags) Parse(args []string, mixed bool) ([]string, error) {
	var positional []string
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			return append(positional, args[1:]...), nil
		case len(arg) > 1 && arg[0] == '-':
			rest, err := f.parseOne(arg, args[1:])
			if err != nil || f.Help {
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
func (f *Flags) parseOne(arg string, rest []string) ([]string, error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	o := f.Find(name)
	switch {
	case o == nil && (name == "help" || name == "h"):
		f.Help = !hasValue || value != "false"
		return rest, nil
	case o == nil:
		return nil, &unknownFlag{name: name, near: f.near(name), joined: f.joined(arg)}
	case !hasValue && o.Arg == "":
		value = "true"
	case !hasValue && len(rest) == 0:
		return nil, fmt.Errorf("flag needs an argument: -%s: give %s %s", name, Dashed(name), o.Arg)
	case !hasValue:
		value, rest = rest[0], rest[1:]
	}
	if err := o.Set(value); err != nil {
		return nil, o.wrongValue(name, value, err)
	}
	return rest, nil
}

// wrongValue puts the words of package flag, which are runc's, in front of err. A
// ValueError has all of runc's words already.
func (o *Option) wrongValue(name, value string, err error) error {
	if w := (*ValueError)(nil); errors.As(err, &w) {
		return err
	}
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, strconv.Quote(value)+" "); ok {
		text = "it " + rest
	}
	if o.Arg == "" {
		return fmt.Errorf("invalid boolean value %q for -%s: %s", value, name, text)
	}
	return fmt.Errorf("invalid value %q for flag -%s: %s", value, name, text)
}

// near returns the declared name that is most similar to a mistyped one.
func (f *Flags) near(name string) string {
	var names []string
	for _, o := range f.Visible() {
		names = append(names, o.Name)
	}
	return nearest(name, names)
}

// joined returns the letters of an argument such as -it that are flags by themselves.
// The syntax of package flag, which is runc's, does not join letters.
func (f *Flags) joined(arg string) []string {
	name, _, _ := strings.Cut(arg[1:], "=")
	if strings.HasPrefix(name, "-") || len(name) > 3 { // a word
		return nil
	}
	var letters []string
	for _, c := range name {
		if o := f.Find(string(c)); o != nil && !o.Hidden {
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
		msg += fmt.Sprintf(": did you mean %s?", Dashed(e.near))
	}
	return msg
}

// Dashed returns a flag's name with its dashes.
func Dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
