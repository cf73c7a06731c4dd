package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
)

// manPages writes the man pages and returns them by the name of the command. The name of onggi's own page is "".
func manPages(t *testing.T) (dir string, pages map[string]string) {
	t.Helper()
	dir = t.TempDir()
	if got := run([]string{"man", dir}, files(t)); got != 0 {
		t.Fatalf("onggi man = %d; want 0", got)
	}
	pages = map[string]string{}
	for _, name := range append(program().Names(), "") {
		file := strings.TrimSuffix("onggi-"+name, "-") + ".8"
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(data)
	}
	return dir, pages
}

// Every page explains the exit status. The page of a verb that people use by hand has examples.
func TestManPagesHaveTheirSections(t *testing.T) {
	byHand := strings.Fields("run create start exec state list ps top kill update mounts events delete spec plan check")
	_, pages := manPages(t)
	golden(t, "onggi-run.8", pages["run"])
	for name, page := range pages {
		if !strings.HasPrefix(page, ".TH ") {
			t.Errorf("the page of %q does not begin with its title", name)
		}
		want := []string{"NAME", "SYNOPSIS", "EXIT STATUS"}
		switch {
		case name == "":
			want = append(want, "DESCRIPTION", "COMMANDS", "GLOBAL FLAGS", "ENVIRONMENT", "FILES")
		case slices.Contains(byHand, name):
			want = append(want, "FLAGS", "EXAMPLES", "SEE ALSO")
		default:
			want = append(want, "FLAGS", "SEE ALSO")
		}
		for _, section := range want {
			if !strings.Contains(page, "\n.SH "+section+"\n") {
				t.Errorf("the page of %q has no section %s", name, section)
			}
		}
	}
}

func TestManPagesRender(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("needs groff: ", err)
	}
	dir, _ := manPages(t)
	pages, err := filepath.Glob(filepath.Join(dir, "*.8"))
	if err != nil || len(pages) < 2 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		if out, err := exec.Command(groff, "-ww", "-man", "-Tutf8", "-z", page).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("groff %s: %v\n%s", filepath.Base(page), err, out)
		}
	}
}

// onggi accepts the command lines of the examples and of the help texts, and they fit a terminal.
func TestExamplesParse(t *testing.T) {
	const indent = 7 // the indent of man(7)
	for _, cmd := range commands() {
		text := cmd.Detail + "\n" + cmd.Manual.Examples
		for _, line := range strings.Split(text, "\n") {
			if len(line) > cli.TextWidth-indent && strings.HasPrefix(line, " ") {
				t.Errorf("%s: the line is %d too long: %s", cmd.Name, len(line)+indent-cli.TextWidth, line)
			}
		}
		lines := exampleLines(text)
		if cmd.Manual.Examples != "" && !slices.ContainsFunc(lines, func(words []string) bool { return slices.Contains(words, cmd.Name) }) {
			t.Errorf("%s is not in its own examples", cmd.Name)
		}
		for _, words := range lines {
			if err := parses(words); err != nil {
				t.Errorf("%s: %q: %v", cmd.Name, words, err)
			}
		}
	}
}

// parses parses a command line without running it, and returns the error.
func parses(words []string) error {
	line := program()
	args, err := line.Globals().Parse(words, false)
	if err != nil {
		return err
	}
	cmd := line.Lookup(args[0])
	if cmd == nil {
		return line.UnknownCommand(args[0])
	}
	_, _, err = line.Parse(cmd, args[1:])
	return err
}

// exampleLines returns the arguments of each call of onggi in the indented shell lines of a text.
func exampleLines(text string) (lines [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		for _, words := range shellCommands(line) {
			if words[0] == "onggi" {
				lines = append(lines, words[1:])
			}
		}
	}
	return lines
}

// shellWord matches a word, parts of which may be quoted, or an operator.
var shellWord = regexp.MustCompile(`(?:[^\s'"|&;<>()]|'[^']*'|"[^"]*")+|[|&;<>()]+`)

// shellCommands returns the words of each command of a line, without redirections.
func shellCommands(line string) (all [][]string) {
	var now []string
	skip := false // this word is the target of a redirection
	for _, word := range append(shellWord.FindAllString(line, -1), ";") {
		operator := strings.Trim(word, "|&;<>()") == ""
		switch {
		case operator && strings.Trim(word, "<>&") == "" && word != "&" && word != "&&":
			skip = true
		case operator:
			if len(now) > 0 {
				all = append(all, now)
			}
			now, skip = nil, false
		case skip || word == "2":
			skip = false
		default:
			now = append(now, strings.NewReplacer("'", "", `"`, "").Replace(word))
		}
	}
	return all
}

// A page explains every variable that the code reads, and the pages explain no other.
func TestManPagesExplainTheEnvironment(t *testing.T) {
	_, pages := manPages(t)
	explained := map[string]bool{}
	for _, page := range pages {
		_, section, _ := strings.Cut(page, "\n.SH ENVIRONMENT\n")
		section, _, _ = strings.Cut(section, "\n.SH ")
		for _, tag := range regexp.MustCompile(`\.TP\n(.*)`).FindAllStringSubmatch(section, -1) {
			for name := range strings.SplitSeq(tag[1], ", ") {
				explained[name] = true
			}
		}
	}
	asked := map[string]bool{"PATH": true} // os/exec reads it
	for _, root := range []string{".", "../../libcontainer", "../../seccomp", "../../specconv"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			for _, match := range regexp.MustCompile(`etenv\("([A-Z_]+)"\)`).FindAllStringSubmatch(string(data), -1) {
				asked[match[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range asked {
		if !explained[name] {
			t.Errorf("no page explains $%s", name)
		}
	}
	for name := range explained {
		if !asked[name] {
			t.Errorf("a page explains $%s, which nothing asks for", name)
		}
	}
}
