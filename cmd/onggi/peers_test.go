package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

// peersCommandLine is the command line of runc 1.5, with the additions of crun 1.29. Each word is a flag: name, or
// name,letter. With "=" it takes a value; with "=…" it may be repeated. The flags after "+" are crun's alone.
var peersCommandLine = map[string]string{
	"": `debug log= log-format= root= systemd-cgroup rootless= help,h version,v
		+ log-level= cgroup-manager=`,
	"create": `bundle,b= console-socket= pidfd-socket= pid-file= no-pivot no-new-keyring preserve-fds=
		+ config,f=`,
	"run": `bundle,b= console-socket= pidfd-socket= pid-file= no-pivot no-new-keyring preserve-fds= detach,d keep no-subreaper
		+ config,f=`,
	"start": "", "state": "", "pause": "", "resume": "", "features": "", "help": "",
	"delete": "force,f + regex,r",
	"kill":   "all,a + regex,r",
	"exec": `console-socket= pidfd-socket= cwd= env,e=… tty,t user,u= additional-gids,g=… process,p= detach,d pid-file=
		process-label= apparmor= no-new-privs cap,c=… preserve-fds= cgroup=… ignore-paused`,
	"list":   "format,f= quiet,q",
	"ps":     "format,f=",
	"events": "interval= stats",
	"spec":   "bundle,b= rootless",
	"update": `resources,r= blkio-weight= cpu-period= cpu-quota= cpu-burst= cpu-share= cpu-rt-period= cpu-rt-runtime=
		cpuset-cpus= cpuset-mems= cpu-idle= memory= memory-reservation= memory-swap= pids-limit= l3-cache-schema=
		mem-bw-schema= kernel-memory= kernel-memory-tcp=`,
	"mounts": "",
}

// peersFlags returns the flags of one verb, without the "+".
func peersFlags(verb string) []string {
	return slices.DeleteFunc(strings.Fields(peersCommandLine[verb]), func(w string) bool { return w == "+" })
}

// flagsOf returns the flags that onggi has for a verb.
func flagsOf(t *testing.T, verb string) *flags {
	t.Helper()
	if verb == "" {
		return globalFlags(&globals{})
	}
	cmd := program().Lookup(verb)
	if cmd == nil {
		t.Fatalf("there is no command %q", verb)
	}
	f := &flags{}
	cmd.Define(f)
	return f
}

// A command line that runc or crun accepts means the same here. The flag exists, with the same letter, and takes a value if
// theirs does.
func TestEveryFlagOfThePeersIsThere(t *testing.T) {
	for verb := range peersCommandLine {
		f := flagsOf(t, verb)
		for _, word := range peersFlags(verb) {
			word, repeat := strings.CutSuffix(word, "…")
			word, value := strings.CutSuffix(word, "=")
			name, letter, _ := strings.Cut(word, ",")
			if name == "help" {
				continue // the parser adds it to every command
			}
			o := f.Find(name)
			switch {
			case o == nil:
				t.Errorf("%s has no flag --%s", verb, name)
			case letter != "" && o.Short != letter:
				t.Errorf("%s --%s has the letter %q; want %q", verb, name, o.Short, letter)
			case (o.Arg != "") != value:
				t.Errorf("%s --%s takes a value: %v; want %v", verb, name, o.Arg != "", value)
			case repeat && !o.Repeat:
				t.Errorf("%s --%s cannot be repeated", verb, name)
			}
		}
	}
}

// No flag is accepted and then ignored: some test uses each of them. The exceptions need hardware or policies that the
// tests' machine does not have, and are tested in parts.
func TestEveryFlagIsUsedByATest(t *testing.T) {
	var text strings.Builder
	for _, pattern := range []string{"*_test.go", "../../tests/*_test.go", "../../tests/engines/*_test.go", "../../tests/vm/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && filepath.Base(file) != "peers_test.go" {
				text.Write(data)
			}
		}
	}
	used := func(word string) bool {
		return strings.Contains(text.String(), `"`+word+`"`) || strings.Contains(text.String(), word+"=") || strings.Contains(text.String(), word+" ")
	}
	for _, cmd := range append(commands(), command{Define: func(f *flags) action { *f = *globalFlags(&globals{}); return nil }}) {
		f := &flags{}
		cmd.Define(f)
		for _, o := range f.All() {
			if !used(cli.Dashed(o.Name)) && (o.Short == "" || !used("-"+o.Short)) {
				t.Errorf("no test uses %s %s", cmd.Name, cli.Dashed(o.Name))
			}
		}
	}
}
