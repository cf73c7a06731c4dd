package cli

import (
	"fmt"
	"testing"
)

// An empty value is a choice if it is the default: --log-format "" is the same as no flag.
func TestChoiceOfNothing(t *testing.T) {
	for initial, accepted := range map[string]bool{"": true, "table": false} {
		f, p := &Flags{}, initial
		f.Choice(&p, "format", "", "", "table", "json")
		if _, err := f.Parse([]string{"--format", "json", "--format", ""}, true); (err == nil) != accepted || accepted && p != "" {
			t.Errorf("a choice with the default %q: %v, %q after an empty one", initial, err, p)
		}
	}
}

// sample is a set of flags of every kind.
type sample struct {
	force    bool
	bundle   string
	env      []string
	preserve int
	format   string
}

func sampleFlags(s *sample) *Flags {
	s.format = "table"
	f := &Flags{}
	f.Bool(&s.force, "force", "f", "")
	f.String(&s.bundle, "bundle", "b", "DIR", "")
	f.Strings(&s.env, "env", "e", "NAME=VALUE", "")
	f.Count(&s.preserve, "preserve-fds", "", "")
	f.Choice(&s.format, "format", "", "", "table", "json")
	return f
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		mixed bool
		want  string // values of the flags, and the positional arguments
	}{
		{nil, true, `{false  [] 0 table} []`},
		{[]string{"id"}, true, `{false  [] 0 table} ["id"]`},
		{[]string{"--force", "id"}, true, `{true  [] 0 table} ["id"]`},
		{[]string{"-force", "id"}, true, `{true  [] 0 table} ["id"]`},
		{[]string{"-f", "--bundle", "/b", "id"}, true, `{true /b [] 0 table} ["id"]`},
		{[]string{"--bundle=/b=c", "-preserve-fds=3"}, true, `{false /b=c [] 3 table} []`},
		{[]string{"--bundle", "--force"}, true, `{false --force [] 0 table} []`},
		{[]string{"--bundle="}, true, `{false  [] 0 table} []`},
		{[]string{"-f=false"}, true, `{false  [] 0 table} []`},
		{[]string{"-e", "A=1", "-e", "B=2,C"}, true, `{false  [A=1 B=2,C] 0 table} []`},
		{[]string{"--format", "json"}, true, `{false  [] 0 json} []`},
		{[]string{"id", "--force"}, true, `{true  [] 0 table} ["id"]`},
		{[]string{"id", "--force"}, false, `{false  [] 0 table} ["id" "--force"]`},
		{[]string{"-f", "id", "sh", "-c", "exit"}, false, `{true  [] 0 table} ["id" "sh" "-c" "exit"]`},
		{[]string{"id", "--", "--force"}, true, `{false  [] 0 table} ["id" "--force"]`},
		{[]string{"--", "--force"}, false, `{false  [] 0 table} ["--force"]`},
		{[]string{"id", "--", "--force"}, false, `{false  [] 0 table} ["id" "--" "--force"]`},
		{[]string{"--help=false", "id"}, true, `{false  [] 0 table} ["id"]`},
		{[]string{"-", ""}, true, `{false  [] 0 table} ["-" ""]`},
	} {
		var s sample
		args, err := sampleFlags(&s).Parse(tt.args, tt.mixed)
		if got := fmt.Sprintf("%v %q", s, args); got != tt.want || err != nil {
			t.Errorf("parse(%q, %v) = %s, %v; want %s, nil", tt.args, tt.mixed, got, err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--froce"}, "flag provided but not defined: -froce: did you mean --force?"},
		{[]string{"--wholly-other=1"}, "flag provided but not defined: -wholly-other"},
		{[]string{"-x"}, "flag provided but not defined: -x"},
		{[]string{"-fx"}, "flag provided but not defined: -fx: letters stand alone, as in -f"},
		{[]string{"-ef=1"}, "flag provided but not defined: -ef: letters stand alone, as in -e -f"},
		{[]string{"id", "-9"}, "flag provided but not defined: -9"},
		{[]string{"--="}, "flag provided but not defined: -"},
		{[]string{"---force"}, "flag provided but not defined: --force: did you mean --force?"},
		{[]string{"--bundle"}, "flag needs an argument: -bundle: give --bundle DIR"},
		{[]string{"-b"}, "flag needs an argument: -b: give -b DIR"},
		{[]string{"--force=perhaps"}, `invalid boolean value "perhaps" for -force: parse error: it is not true or false`},
		{[]string{"--preserve-fds", "-1"}, `invalid value "-1" for flag -preserve-fds: parse error: it is not a number of 0 or more`},
		{[]string{"--preserve-fds", "4294967296"}, `invalid value "4294967296" for flag -preserve-fds: parse error: it is not a number of 0 or more`},
		{[]string{"--format", "yaml"}, `invalid value "yaml" for flag -format: invalid format option: want one of table, json`},
	} {
		_, err := sampleFlags(&sample{}).Parse(tt.args, true)
		if err == nil || err.Error() != tt.want {
			t.Errorf("parse(%q) = %v; want %s", tt.args, err, tt.want)
		}
	}
}

func TestParseHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"-help"}, {"id", "--help"}, {"-f", "-h", "--no-such-flag"}} {
		f := sampleFlags(&sample{})
		if _, err := f.Parse(args, true); !f.Help || err != nil {
			t.Errorf("parse(%q): help is %v, error is %v; want true, nil", args, f.Help, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--bundle", "x", "-f")
	f.Add("--env=A=B", "--", "-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var s sample
		args, err := sampleFlags(&s).Parse([]string{a, b, c}, true)
		if err != nil && args != nil {
			t.Errorf("parse(%q, %q, %q) = %q and an error, %v", a, b, c, args, err)
		}
	})
}
