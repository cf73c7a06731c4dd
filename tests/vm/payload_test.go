package vm

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// payload is the contents of every guest's disk, built once.
type payload struct {
	files map[string]string // name in the guest: file here
	trees map[string]string // and directories
	on    machine
}

// dir is the directory of the program in the guest, and of its sources in the repository.
func (r run) dir() string { return cmp.Or(r.program, "tests") }

// newPayload builds the runtime, the probe, and each test program.
func newPayload(dir string, on machine) (payload, error) {
	target := "onggi"
	if on.goarch != amd64.goarch {
		target = "bin/onggi-" + on.goarch
	}
	p := payload{
		files: map[string]string{"onggi": repository + target, "probe": filepath.Join(dir, "probe")},
		trees: map[string]string{},
		on:    on,
	}
	if err := command("make", "-C", repository, target); err != nil {
		return p, err
	}
	if err := p.static("build", "-o", p.files["probe"], "./tests/probe"); err != nil {
		return p, err
	}
	if err := p.addCRIU(); err != nil {
		return p, err
	}
	for _, g := range selected() {
		if g.on.goarch != on.goarch {
			continue
		}
		for _, r := range g.wanted() {
			if err := p.program(dir, r.dir()); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

const repository = "../../"

// peers is the directory of the programs that make peers has fetched, here and in the guest.
const peers = "bin/peers/"

// criuLibraries returns the directory of CRIU's dynamic linker and libraries, as CRIU names it. A guest has a link there.
func criuLibraries() (string, error) {
	text, err := os.ReadFile(repository + peers + "criu")
	if err != nil {
		return "", err
	}
	end := bytes.Index(text, []byte("/ld-linux"))
	if end < 0 {
		return "", fmt.Errorf("%scriu has no dynamic linker", peers)
	}
	return string(text[bytes.LastIndexByte(text[:end], 0)+1 : end]), nil
}

// addCRIU adds CRIU and its libraries. Without CRIU, its tests are skipped, and a guest that exists for them fails.
func (p payload) addCRIU() error {
	program := repository + peers + "criu"
	if _, err := os.Stat(program); err != nil || p.on.goarch != amd64.goarch {
		return nil
	}
	dir, err := criuLibraries()
	if err != nil {
		return err
	}
	linker := filepath.Join(dir, "ld-linux-x86-64.so.2")
	out, err := exec.Command(linker, "--list", program).Output()
	if err != nil {
		return fmt.Errorf("libraries of criu: %w", err)
	}
	p.files[peers+"criu"], p.files[peers+"lib/"+filepath.Base(linker)] = program, linker
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, dir+"/") {
			p.files[peers+"lib/"+filepath.Base(word)] = word
		}
	}
	return nil
}

// static runs the go command in the repository, for programs that need no library of their host.
func (p payload) static(verb string, args ...string) error {
	cmd := exec.Command("go", append([]string{verb, "-trimpath", "-ldflags=-s -w"}, args...)...)
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+p.on.goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", verb, err, out)
	}
	return nil
}

// program builds the tests of a directory, once.
func (p payload) program(dir, sources string) error {
	name := filepath.Join(sources, "test")
	if p.files[name] != "" {
		return nil
	}
	p.files[name] = filepath.Join(dir, filepath.Base(sources)+".test")
	data := filepath.Join(sources, "testdata")
	if _, err := os.Stat(repository + data); err == nil {
		p.trees[data] = repository + data
	}
	return p.static("test", "-c", "-o", p.files[name], "./"+sources)
}

// disk writes the contents for one guest as a tar archive, which the guest reads straight from the block device.
func (p payload) disk(to string, script string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := writeFile(w, "run", strings.NewReader(script), int64(len(script)), 0o755); err != nil {
		return err
	}
	for name, from := range p.files {
		if err := copyFile(w, name, from); err != nil {
			return err
		}
	}
	for name, from := range p.trees {
		if err := copyTree(w, name, from); err != nil {
			return err
		}
	}
	return w.Close()
}

func copyTree(w *tar.Writer, to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyFile(w, filepath.Join(to, rel), path)
	})
}

func copyFile(w *tar.Writer, to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return writeFile(w, to, f, info.Size(), info.Mode().Perm())
}

func writeFile(w *tar.Writer, name string, from io.Reader, size int64, mode fs.FileMode) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Size: size, Mode: int64(mode)}); err != nil {
		return err
	}
	_, err := io.Copy(w, from)
	return err
}
