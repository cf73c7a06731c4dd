package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// innerEnv carries the layout to the second run of this program, the one in the private mount namespace.
const innerEnv = "ONGGI_BENCH_LAYOUT"

func main() {
	err := outer()
	if layout := os.Getenv(innerEnv); layout != "" {
		err = inner(layout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// outer runs every layout in a process of its own and writes the report.
func outer() error {
	if os.Getenv(innerEnv) != "" {
		return nil
	}
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	var all []Result
	for _, layout := range words("BENCH_LAYOUTS", "hybrid v2") {
		result, err := runLayout(layout)
		if err != nil {
			return err
		}
		all = append(all, result)
	}
	report := Markdown(all)
	fmt.Print(report)
	dir := setting("BENCH_OUT", "docs/bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "results.md"), []byte(report), 0o644),
		os.WriteFile(filepath.Join(dir, "results.svg"), []byte(Picture(all)), 0o644),
	)
}

func runLayout(layout string) (Result, error) {
	var result Result
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), innerEnv+"="+layout)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		return result, fmt.Errorf("layout %s: %w", layout, err)
	}
	return result, json.Unmarshal(out, &result)
}

// inner measures in one layout and writes the result to standard output.
func inner(layout string) error {
	// What create leaves is ours to wait for, as it is an engine's.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// A collection in the middle of a measurement would be counted as somebody's.
	debug.SetGCPercent(-1)
	runs, err := strconv.Atoi(setting("BENCH_RUNS", "100"))
	if err != nil {
		return fmt.Errorf("BENCH_RUNS: %w", err)
	}
	field, err := newField(layout)
	if err != nil {
		return err
	}
	defer field.close()
	result, err := field.measure(words("BENCH_ITEMS", "run create exec memory limit size"), runs)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// setting is an environment variable, or what it is when empty.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// words is a setting that is a list, with commas or spaces.
func words(name, otherwise string) []string {
	return strings.Fields(strings.ReplaceAll(setting(name, otherwise), ",", " "))
}
