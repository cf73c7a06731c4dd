package vm

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// payload is the binaries that every guest gets, built once.
type payload struct {
	files map[string]string // name in the guest: file here
}

// newPayload builds the runtime, the integration tests and their probe.
func newPayload(dir string) (payload, error) {
	p := payload{files: map[string]string{
		"onggi":            "../../onggi",
		"tests/tests.test": filepath.Join(dir, "tests.test"),
		"probe":            filepath.Join(dir, "probe"),
	}}
	if err := command("make", "-C", "../..", "onggi"); err != nil {
		return p, err
	}
	static := func(args ...string) error {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
		}
		return nil
	}
	if err := static("test", "-c", "-trimpath", "-ldflags=-s -w", "-o", p.files["tests/tests.test"], "."); err != nil {
		return p, err
	}
	return p, static("build", "-trimpath", "-ldflags=-s -w", "-o", p.files["probe"], "./probe")
}

// disk writes what one guest gets, as a tar archive that is read straight from the block device.
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
	if err := copyTree(w, "tests/testdata", "../testdata"); err != nil {
		return err
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
