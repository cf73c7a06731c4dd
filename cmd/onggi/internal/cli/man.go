package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Manual is the part of a man page that the help does not have. In Files and
// Environment, a line without an indent is a name, and the lines below explain it.
type Manual struct {
	Status      string // EXIT STATUS; "" means usualStatus
	Files       string
	Environment string
	Examples    string // paragraphs
}

const usualStatus = "0 on success, 1 on failure. Standard error has the reason, and the file of --log."

// WriteManPages writes onggi.8 and one page for each listed command into a directory.
func (p *Program[C]) WriteManPages(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "onggi.8"), []byte(p.overviewPage()), 0o644); err != nil {
		return err
	}
	for _, cmd := range p.Listed() {
		if err := os.WriteFile(filepath.Join(dir, "onggi-"+cmd.Name+".8"), []byte(cmd.page()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// overviewPage returns the man page of onggi itself, in the macros of man(7).
func (p *Program[C]) overviewPage() string {
	var m page
	m.title("onggi", "OCI container runtime")
	m.synopsis("onggi", "[global flags] <command> [flags] [arguments]")
	m.section("DESCRIPTION", p.About)
	m.head("COMMANDS")
	for _, cmd := range p.Listed() {
		m.item(fmt.Sprintf(`.BR onggi\-%s (8)`, escaped(cmd.Name)), cmd.Summary)
	}
	m.head("GLOBAL FLAGS")
	m.options(p.Globals())
	m.section("EXIT STATUS", usualStatus+p.Manual.Status)
	m.list("ENVIRONMENT", p.Manual.Environment)
	m.list("FILES", p.Manual.Files)
	return m.String()
}

// page returns the man page of a command.
func (cmd *Command[C]) page() string {
	f := &Flags{}
	cmd.Define(f)
	var p page
	p.title("onggi-"+cmd.Name, cmd.Summary)
	name := "onggi " + cmd.Name
	p.synopsis(name, strings.TrimPrefix(cmd.usage(), name))
	p.section("DESCRIPTION", cmd.Detail)
	p.head("FLAGS")
	p.options(f)
	p.section("EXIT STATUS", cmp.Or(cmd.Manual.Status, usualStatus))
	p.list("ENVIRONMENT", cmd.Manual.Environment)
	p.list("FILES", cmd.Manual.Files)
	p.section("EXAMPLES", cmd.Manual.Examples)
	p.head("SEE ALSO")
	p.line(".BR onggi (8)")
	return p.String()
}

// A page is the source of a man page.
type page struct{ strings.Builder }

// line adds a line of troff.
func (p *page) line(s string) { p.WriteString(s + "\n") }

// text adds a line of text in which nothing is troff.
func (p *page) text(s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		p.WriteString(`\&`)
	}
	p.line(escaped(s))
}

// escaped escapes the characters that troff would make typographic. Readers copy commands out
// of man pages, so every character has to stay the one on the keyboard.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

func (p *page) title(name, summary string) {
	p.line(fmt.Sprintf(`.TH "%s" "8" "" "onggi" "System administration"`, escaped(strings.ToUpper(name))))
	p.head("NAME")
	p.text(name + " - " + summary)
}

func (p *page) synopsis(name, rest string) {
	p.head("SYNOPSIS")
	p.line(".B " + escaped(name))
	p.text(strings.TrimSpace(rest))
}

func (p *page) head(name string) { p.line(".SH " + name) }

// section adds paragraphs, if there are any.
func (p *page) section(name, text string) {
	if text != "" {
		p.head(name)
		p.paragraphs(text)
	}
}

// list adds names with their explanations, if there are any.
func (p *page) list(name, text string) {
	if text == "" {
		return
	}
	p.head(name)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			p.line(".TP")
		}
		p.text(strings.TrimSpace(line))
	}
}

// item adds a tagged paragraph. The tag is a line of troff.
func (p *page) item(tag, text string) {
	p.line(".TP")
	p.line(tag)
	p.text(text)
}

func (p *page) options(f *Flags) {
	for _, o := range withHelp(f.Visible()) {
		p.item(".B "+escaped(strings.TrimSpace(o.spelling())), o.explanation())
	}
}

// paragraphs adds text in the form of the help: indented lines stay as they are.
func (p *page) paragraphs(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		literal := strings.HasPrefix(paragraph, "    ")
		if literal {
			p.line(".nf")
		}
		for _, line := range strings.Split(paragraph, "\n") {
			p.text(line)
		}
		if literal {
			p.line(".fi")
		}
	}
}
