package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// manual is the part of a command's man page that its help does not have. In files and
// environment, a line without an indent is a name, and the lines below explain it.
type manual struct {
	status      string // EXIT STATUS; "" means usualStatus
	files       string
	environment string
	examples    string // paragraphs
}

const usualStatus = "0 on success, 1 on failure. Standard error has the reason, and the file of --log."

// bundleFiles are the files of a bundle that a command reads or writes.
const bundleFiles = `config.json
    in the bundle: how the container is to be, in the form of config.md in the
    OCI runtime specification
rootfs
    in the bundle: the root file system, if root.path in config.json names no
    other`

// serviceEnvironment are the variables of a service manager.
const serviceEnvironment = `LISTEN_FDS, LISTEN_PID
    descriptors for the container, as sd_listen_fds(3) has them
NOTIFY_SOCKET
    where the container says that it is ready, as sd_notify(3) has it`

// stateFiles are the files below the state root.
const stateFiles = `/run/onggi
    the state root, unless --root names another
/run/onggi/ID/state.json
    what is known of a container; whether it runs is asked of the kernel
/run/onggi/ID/config.json
    its configuration, as it was at create
/run/onggi/ID/resources.json, mounts.json
    what "onggi update" and "onggi mounts" have changed
/run/onggi/ID/start, status
    the gate at which a created container waits
/run/onggi/@seccomp
    compiled seccomp filters: a cache`

const environment = `XDG_RUNTIME_DIR
    the state root of an ordinary user, and of root in a user namespace, is the
    directory onggi in this one
USER
    "root" in a user namespace: the state root is /run/onggi all the same
DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS
    where systemd is, for --systemd-cgroup, if not at its usual sockets`

func manCommand() command {
	return command{
		name: "man", args: "<directory>", min: 1, max: 1, hidden: true,
		summary: "write the man pages into a directory",
		define:  func(*flags) action { return writeManPages },
	}
}

// writeManPages writes onggi.8 and one page for each command.
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

// overviewPage returns the man page of onggi itself, in the macros of man(7).
func overviewPage() string {
	var p page
	p.title("onggi", "OCI container runtime")
	p.synopsis("onggi", "[global flags] <command> [flags] [arguments]")
	p.section("DESCRIPTION", about)
	p.head("COMMANDS")
	for _, cmd := range listed() {
		p.item(fmt.Sprintf(`.BR onggi\-%s (8)`, escaped(cmd.name)), cmd.summary)
	}
	p.head("GLOBAL FLAGS")
	p.options(globalFlags(&globals{}))
	p.section("EXIT STATUS", usualStatus+" A run or exec that waits for its process ends with the status of that.")
	p.list("ENVIRONMENT", environment)
	p.list("FILES", stateFiles)
	return p.String()
}

// page returns the man page of a command.
func (cmd *command) page() string {
	f := &flags{}
	cmd.define(f)
	var p page
	p.title("onggi-"+cmd.name, cmd.summary)
	name := "onggi " + cmd.name
	p.synopsis(name, strings.TrimPrefix(cmd.usage(), name))
	p.section("DESCRIPTION", cmd.detail)
	p.head("FLAGS")
	p.options(f)
	p.section("EXIT STATUS", cmp.Or(cmd.manual.status, usualStatus))
	p.list("ENVIRONMENT", cmd.manual.environment)
	p.list("FILES", cmd.manual.files)
	p.section("EXAMPLES", cmd.manual.examples)
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

func (p *page) options(f *flags) {
	for _, o := range withHelp(f.visible()) {
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
