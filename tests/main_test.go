package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// innerEnv marks the second run of the test binary, the one in the private mount namespace. Its value is the runtime.
const innerEnv = "ONGGI_TESTS_INNER"

// suite is shared by all tests. TestMain makes it once.
type suite struct {
	runtime string // path of the binary under test
	kind    string // first word of its --version: onggi, runc, crun
	layout  string // v1, hybrid, v2
	driver  string // creator of the cgroups: cgroupfs, systemd
	dir     string // working directory of the run
	busybox string // a copy of busybox that bundles hard-link
	probe   string // the helper program that runs in containers
}

var env suite

func TestMain(m *testing.M) {
	code, err := 0, error(nil)
	switch {
	case os.Args[0] == "criu":
		fakeCRIU()
	case os.Getuid() != 0:
		fmt.Println("the integration tests need root: skipped")
	case os.Getenv(innerEnv) == "":
		code, err = enter()
	default:
		code, err = inner(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		code = 1
	}
	os.Exit(code)
}

// enter builds the binary under test and runs this program again in a mount namespace of its own.
func enter() (int, error) {
	runtime, err := findRuntime()
	if err != nil {
		return 1, err
	}
	// The binary under test is no part of this program. Without the log of opened files, go test caches no result.
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return strings.HasPrefix(a, "-test.testlogfile=") })
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), innerEnv+"="+runtime)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

func findRuntime() (string, error) {
	if path := os.Getenv("RUNTIME"); path != "" {
		return exec.LookPath(path)
	}
	out, err := exec.Command("make", "-C", "..", "onggi").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make: %w\n%s", err, out)
	}
	return filepath.Abs("../onggi")
}

func inner(m *testing.M) (int, error) {
	// Shells and CI machines leak descriptors. A test passes its own descriptors to a runtime explicitly.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 1, err
	}
	// No leftover of a runtime may escape: orphans become our children, mounts stay in our namespace.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 1, err
	}
	if err := setLayout(os.Getenv("LAYOUT")); err != nil {
		return 1, err
	}
	driver, err := findDriver(os.Getenv("DRIVER"))
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "onggi-tests-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		return 1, err
	}
	env.driver = driver
	code := m.Run()
	if left := strayChildren(); len(left) > 0 {
		return 1, fmt.Errorf("processes left at the end of the run: %v", left)
	}
	return code, nil
}

// setLayout gives the mount namespace a cgroup layout: "" the machine's, "v1" without the unified mount (crun refuses a
// hybrid layout), "v2" only the unified hierarchy.
func setLayout(layout string) error {
	switch layout {
	case "":
		return nil
	case "v1":
		return unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	case "v2":
		if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
			return err
		}
		return unix.Mount("none", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	default:
		return fmt.Errorf("LAYOUT=%s: want v1 or v2", layout)
	}
}

// findDriver returns the creator of all cgroups: cgroupfs, or systemd, which makes them scopes.
func findDriver(driver string) (string, error) {
	switch driver {
	case "", "cgroupfs":
		return "cgroupfs", nil
	case "systemd":
		_, err := os.Stat("/run/systemd/system")
		return driver, err
	default:
		return "", fmt.Errorf("DRIVER=%s: want cgroupfs or systemd", driver)
	}
}

// prepare fills env.
func prepare(dir string) error {
	// Container users other than root have to pass through the directory.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	env = suite{runtime: os.Getenv(innerEnv), dir: dir, layout: currentLayout()}
	version, err := exec.Command(env.runtime, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", env.runtime, err)
	}
	env.kind, _, _ = strings.Cut(string(version), " ")
	if env.busybox, err = copyBusybox(dir); err != nil {
		return err
	}
	if env.probe = os.Getenv("PROBE"); env.probe != "" {
		return copyProbe(dir)
	}
	env.probe = filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", env.probe, "./probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("probe: %w\n%s", err, out)
	}
	return nil
}

// copyProbe copies a probe that was built before, for machines without a compiler. Bundles hard-link it.
func copyProbe(dir string) error {
	data, err := os.ReadFile(env.probe)
	if err != nil {
		return err
	}
	env.probe = filepath.Join(dir, "probe")
	return os.WriteFile(env.probe, data, 0o755)
}

func copyBusybox(dir string) (string, error) {
	for _, path := range []string{"/usr/bin/busybox", "/bin/busybox"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		to := filepath.Join(dir, "busybox")
		return to, os.WriteFile(to, data, 0o755)
	}
	return "", fmt.Errorf("no busybox: apt-get install busybox-static")
}
