// Command libraries measures the cost of replacing a part of onggi by a library: `make libraries`.
//
// It links the newest release of each library into the real binary. A file beside the sources refers to the functions that
// onggi would use, and never calls them. The command compares start and size with those of the plain binary, and writes the
// table into docs/design.md.
//
// The go command downloads the libraries. The module's own files stay as they are: go.mod is a copy.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	page  = "docs/design.md"
	begin = "<!-- make libraries writes this -->\n"
	end   = "<!-- end -->\n"
)

func main() {
	runs := flag.Int("runs", 200, "starts of each binary")
	flag.Parse()
	if err := measure(*runs); err != nil {
		fmt.Fprintln(os.Stderr, "libraries:", err)
		os.Exit(1)
	}
}

// linked is a binary with a library. The first has none.
type linked struct {
	library
	version string
	binary  string
	size    int64

	start    time.Duration      // processor time
	faults   int64              // of pages, without reading from a disk
	packages map[string]float64 // milliseconds of their initialisation
}

func measure(runs int) error {
	work, err := os.MkdirTemp("", "onggi-libraries-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	all := []*linked{{}}
	for _, l := range libraries {
		all = append(all, &linked{library: l})
	}
	for i, l := range all {
		l.binary = filepath.Join(work, fmt.Sprint(i), "onggi")
		if err := l.build(filepath.Dir(l.binary)); err != nil {
			return fmt.Errorf("%s: %w", l.module, err)
		}
	}
	if err := starts(all, runs); err != nil {
		return err
	}
	return write(table(all, runs))
}

// build links the binary as the Makefile does, in a directory of its own.
func (l *linked) build(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	overlay, err := l.overlay(dir)
	if err != nil {
		return err
	}
	mod := filepath.Join(dir, "go.mod")
	if err := errors.Join(copyFile("go.mod", mod), copyFile("go.sum", filepath.Join(dir, "go.sum"))); err != nil {
		return err
	}
	if l.module != "" {
		if _, err := command("get", "-modfile="+mod, l.module+"@latest"); err != nil {
			return err
		}
		if l.version, err = command("list", "-modfile="+mod, "-m", "-f={{.Version}}", l.module); err != nil {
			return err
		}
	}
	_, err = command("build", "-trimpath", "-buildvcs=false", "-tags=onggi_helper", "-ldflags=-s -w", "-modfile="+mod, "-mod=mod",
		"-overlay="+overlay, "-o", l.binary, "./cmd/onggi")
	if err != nil {
		return err
	}
	info, err := os.Stat(l.binary)
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// overlay writes an overlay for the go command: the patch of .ci/toolchain, and the file that refers to the library.
func (l *linked) overlay(dir string) (string, error) {
	replace := struct{ Replace map[string]string }{map[string]string{}}
	name, err := exec.Command(".ci/toolchain/overlay", "bin/_overlay").Output()
	if err != nil {
		return "", err
	}
	if len(name) > 0 {
		data, err := os.ReadFile(string(bytes.TrimSpace(name)))
		if err == nil {
			err = json.Unmarshal(data, &replace)
		}
		if err != nil {
			return "", err
		}
	}
	if l.module != "" {
		at, err := filepath.Abs("cmd/onggi/library.go")
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, "library.go")
		if err := os.WriteFile(file, []byte(l.source()), 0o644); err != nil {
			return "", err
		}
		replace.Replace[at] = file
	}
	data, err := json.Marshal(replace)
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(err, os.WriteFile(overlay, data, 0o644))
}

// source returns a file of package main that the linker cannot drop: the condition is not known before the program runs.
func (l *linked) source() string {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"os\"\n")
	for _, path := range l.imports {
		fmt.Fprintf(&b, "\t%s\n", path)
	}
	fmt.Fprintf(&b, ")\n\nvar _ = used()\n\nfunc used() any {\n\tif len(os.Args) > 0 {\n\t\treturn nil\n\t}\n\t%s\n\treturn nil\n}\n", l.use)
	return b.String()
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, data, 0o644))
}

// command runs the go command and returns its output.
func command(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// starts measures the binaries, one after the other in each round: the processor time and the page faults of a start, and the
// time in which each package is initialised (GODEBUG=inittrace=1). The least of each is taken. A package takes microseconds,
// so other work rarely comes between: that sum is sound on a busy machine, too.
func starts(all []*linked, runs int) error {
	for range runs {
		for _, l := range all {
			if err := l.measureStart(); err != nil {
				return fmt.Errorf("%s with %s: %w", l.binary, l.module, err)
			}
		}
	}
	return nil
}

func (l *linked) measureStart() error {
	cmd := exec.Command(l.binary, "--version")
	if err := cmd.Run(); err != nil {
		return err
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	faults := cmd.ProcessState.SysUsage().(*syscall.Rusage).Minflt
	if l.start == 0 {
		l.start, l.faults, l.packages = used, faults, map[string]float64{}
	}
	l.start, l.faults = min(l.start, used), min(l.faults, faults)
	traced := exec.Command(l.binary, "--version")
	traced.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	traced.Stderr = &trace
	if err := traced.Run(); err != nil {
		return err
	}
	for line := range strings.Lines(trace.String()) {
		var name string
		var at, took float64
		if n, _ := fmt.Sscanf(line, "init %s @%g ms, %g ms clock", &name, &at, &took); n < 3 {
			continue
		}
		if least, ok := l.packages[name]; !ok || took < least {
			l.packages[name] = took
		}
	}
	return nil
}

// initialised returns the microseconds of all packages.
func (l *linked) initialised() (us float64) {
	for _, ms := range l.packages {
		us += ms * 1000
	}
	return us
}

func table(all []*linked, runs int) string {
	var b strings.Builder
	none := all[0]
	fmt.Fprintf(&b, `The least of %d starts (`+"`--version`"+`), in turns. Without a library the packages are initialised in %.0f µs, a start has
%d page faults and takes %d µs of processor time, and the binary has %.2f MB. The columns show what a library adds:

`, runs, none.initialised(), none.faults, none.start.Microseconds(), float64(none.size)/1e6)
	b.WriteString("| part of onggi's own | lines | library | initialisation | page faults | size | why it is onggi's own |\n|---|---:|---|---:|---:|---:|---|\n")
	for _, l := range all[1:] {
		fmt.Fprintf(&b, "| %s | %d | %s %s | %+.0f µs | %+d | %+.2f MB | %s |\n", l.own, lines(l.files), strings.TrimPrefix(l.module, "github.com/"),
			l.version, l.initialised()-none.initialised(), l.faults-none.faults, float64(l.size-none.size)/1e6, l.why)
	}
	return b.String()
}

// lines counts the lines of the Go files that the patterns match, without tests.
func lines(patterns []string) (n int) {
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern) // an error is a bad pattern, and these are constants
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil {
				n += bytes.Count(data, []byte("\n"))
			}
		}
	}
	return n
}

// write replaces the table in the page.
func write(text string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(data), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table: %s", page, begin)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+text+"\n"+end+after), 0o644)
}
