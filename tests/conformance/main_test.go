package conformance

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// cache keeps the suite's programs between runs. The go command rebuilds changed ones.
const cache = "../.cache/conformance"

// env is shared by all tests. TestMain sets it once.
var env struct {
	runtime  string
	programs string // directory of the suite's programs, which is also where they are run
}

func TestMain(m *testing.M) {
	if asked := os.Getenv(roomEnv); asked != "" {
		if err := room(asked); err != nil {
			fmt.Fprintln(os.Stderr, "room:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getuid() != 0 {
		fmt.Println("the conformance suite needs root: skipped")
		os.Exit(0)
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
	// The programs sleep most of the time, a second at a time.
	if err := flag.Set("test.parallel", fmt.Sprint(4*runtime.NumCPU())); err != nil {
		panic(err)
	}
	code := m.Run()
	fmt.Println(&score)
	os.Exit(code)
}

// prepare finds the runtime. It puts the files that the suite's programs expect into their working directory: runtimetest and
// a root file system.
func prepare() (err error) {
	if env.runtime, err = findRuntime(); err != nil {
		return err
	}
	if env.programs, err = filepath.Abs(cache); err != nil {
		return err
	}
	if err := os.MkdirAll(env.programs, 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", env.programs+"/", "tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the suite: %w\n%s", err, out)
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", suite).Output()
	if err != nil {
		return err
	}
	name := "rootfs-" + runtime.GOARCH + ".tar.gz"
	data, err := os.ReadFile(filepath.Join(string(dir[:len(dir)-1]), name))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the suite has no root file system for this machine: %w", err)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(env.programs, name), data, 0o644)
}

func findRuntime() (string, error) {
	if path := os.Getenv("RUNTIME"); path != "" {
		path, err := exec.LookPath(path)
		if err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	if out, err := exec.Command("make", "-C", "../..", "onggi").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make: %w\n%s", err, out)
	}
	return filepath.Abs("../../onggi")
}
