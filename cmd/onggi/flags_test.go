package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// An empty value is a choice if it is the default: --log-format "" is the same as no flag.
func TestChoiceOfNothing(t *testing.T) {
	for initial, accepted := range map[string]bool{"": true, "table": false} {
		f, p := &flags{}, initial
		f.choice(&p, "format", "", "", "table", "json")
		if _, err := f.parse([]string{"--format", "json", "--format", ""}, true); (err == nil) != accepted || accepted && p != "" {
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

func sampleFlags(s *sample) *flags {
	s.format = "table"
	f := &flags{}
	f.bool(&s.force, "force", "f", "")
	f.string(&s.bundle, "bundle", "b", "DIR", "")
	f.strings(&s.env, "env", "e", "NAME=VALUE", "")
	f.count(&s.preserve, "preserve-fds", "", "")
	f.choice(&s.format, "format", "", "", "table", "json")
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
		args, err := sampleFlags(&s).parse(tt.args, tt.mixed)
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
		{[]string{"--force=perhaps"}, `invalid value "perhaps" for flag -force: it is not true or false`},
		{[]string{"--preserve-fds", "-1"}, `invalid value "-1" for flag -preserve-fds: it is not a number of 0 or more`},
		{[]string{"--preserve-fds", "4294967296"}, `invalid value "4294967296" for flag -preserve-fds: it is not a number of 0 or more`},
		{[]string{"--format", "yaml"}, `invalid value "yaml" for flag -format: invalid format option: it is none of table, json`},
	} {
		_, err := sampleFlags(&sample{}).parse(tt.args, true)
		if err == nil || err.Error() != tt.want {
			t.Errorf("parse(%q) = %v; want %s", tt.args, err, tt.want)
		}
	}
}

func TestParseHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"-help"}, {"id", "--help"}, {"-f", "-h", "--no-such-flag"}} {
		f := sampleFlags(&sample{})
		if _, err := f.parse(args, true); !f.help || err != nil {
			t.Errorf("parse(%q): help is %v, error is %v; want true, nil", args, f.help, err)
		}
	}
}

// The flags of a command have different names: of two with the same name one would be hidden, and a flag -h would hide the
// help.
func TestFlagsAreDistinct(t *testing.T) {
	for _, cmd := range commands() {
		f := &flags{}
		cmd.define(f)
		seen := []string{"h", "help"}
		for _, o := range f.all {
			for _, name := range []string{o.name, o.short} {
				if name != "" && slices.Contains(seen, name) {
					t.Errorf("%s: flag %s is declared twice", cmd.name, dashed(name))
				}
				seen = append(seen, name)
			}
		}
	}
}

// TestAcceptsRuncFlags has the command lines of engines and of runc's users, verb by verb.
func TestAcceptsRuncFlags(t *testing.T) {
	for verb, words := range map[string]string{
		"create": "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds config f",
		"run":    "bundle b console-socket pidfd-socket pid-file no-pivot no-new-keyring preserve-fds config f detach d keep no-subreaper",
		"exec": "console-socket pidfd-socket cwd env e tty t user u additional-gids g process p detach d pid-file process-label " +
			"apparmor no-new-privs cap c preserve-fds cgroup ignore-paused",
		"delete": "force f regex r",
		"kill":   "all a regex r",
		"list":   "format f quiet q",
		"ps":     "format f",
		"spec":   "bundle b rootless",
	} {
		f := &flags{}
		lookup(verb).define(f)
		for _, name := range strings.Fields(words) {
			if f.find(name) == nil {
				t.Errorf("%s has no flag %s", verb, dashed(name))
			}
		}
	}
	f := globalFlags(&globals{})
	for _, name := range strings.Fields("debug log log-format log-level root systemd-cgroup cgroup-manager rootless version v") {
		if f.find(name) == nil {
			t.Errorf("there is no global flag %s", dashed(name))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--bundle", "x", "-f")
	f.Add("--env=A=B", "--", "-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var s sample
		args, err := sampleFlags(&s).parse([]string{a, b, c}, true)
		if err != nil && args != nil {
			t.Errorf("parse(%q, %q, %q) = %q and an error, %v", a, b, c, args, err)
		}
	})
}
