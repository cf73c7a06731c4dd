package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func manCommand() command {
	return command{
		name: "man", args: "<directory>", min: 1, max: 1, hidden: true,
		summary: "write the man pages into a directory",
		define:  func(*flags) action { return writeManPages },
	}
}

// writeManPages writes onggi.8 and a page for each command.
func writeManPages(c *call) error {
	dir := c.args[0]
	if err := os.WriteFile(filepath.Join(dir, "onggi.8"), []byte(overviewPage()), 0o644); err != nil {
		return err
	}
	for _, cmd := range listed() {
		if err := os.WriteFile(filepath.Join(dir, "onggi-"+cmd.name+".8"), []byte(cmd.page()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// overviewPage is the man page of onggi itself, in man(7)'s macros.
func overviewPage() string {
	var p page
	p.title("onggi", "OCI container runtime")
	p.section("SYNOPSIS")
	p.line(".B onggi")
	p.text("[global flags] <command> [flags] [arguments]")
	p.section("DESCRIPTION")
	p.paragraphs(about)
	p.section("COMMANDS")
	for _, cmd := range listed() {
		p.item(fmt.Sprintf(".BR onggi-%s (8)", cmd.name), cmd.summary)
	}
	p.section("GLOBAL FLAGS")
	p.options(globalFlags(&globals{}))
	p.section("EXIT STATUS")
	p.text("0 on success and 1 on failure. run and exec in the foreground end with the status of the process, or 128 plus " +
		"the number of the signal that killed it; an exec that did not come that far ends with 255.")
	return p.String()
}

// page is the man page of a command.
func (cmd *command) page() string {
	f := &flags{}
	cmd.define(f)
	var p page
	p.title("onggi-"+cmd.name, cmd.summary)
	p.section("SYNOPSIS")
	p.text(cmd.usage())
	if cmd.detail != "" {
		p.section("DESCRIPTION")
		p.paragraphs(cmd.detail)
	}
	p.section("FLAGS")
	p.options(f)
	p.section("SEE ALSO")
	p.line(".BR onggi (8)")
	return p.String()
}

// A page is the source of a man page.
type page struct{ strings.Builder }

// line adds a line of troff.
func (p *page) line(s string) { p.WriteString(s + "\n") }

// text adds a line of text: nothing in it is troff.
func (p *page) text(s string) {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	p.line(s)
}

func (p *page) title(name, summary string) {
	p.line(fmt.Sprintf(`.TH "%s" "8" "" "onggi" "System administration"`, strings.ToUpper(name)))
	p.section("NAME")
	p.text(name + " - " + summary)
}

func (p *page) section(name string) { p.line(".SH " + name) }

// item adds a tagged paragraph; the tag is a line of troff.
func (p *page) item(tag, text string) {
	p.line(".TP")
	p.line(tag)
	p.text(text)
}

func (p *page) options(f *flags) {
	for _, o := range withHelp(f.visible()) {
		p.line(".TP")
		p.text(strings.TrimSpace(o.spelling()))
		p.text(o.explanation())
	}
}

// paragraphs adds text as the help shows it: indented lines stay as they are.
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
