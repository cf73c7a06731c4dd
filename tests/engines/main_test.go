package engines

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stageEnv tells the three runs of the test binary apart: "" outside of everything, "init" the sandbox's first
// process, "tests" its child.
const stageEnv = "ONGGI_ENGINES_STAGE"

// installed is where `make install` puts everything, beside the directories of the sandboxes.
const installed = "installed"

var update = flag.Bool("update", false, "write the table to docs/engines/README.md")

// suite is shared by all tests of one sandbox. TestMain creates it once; the tests only read it.
type suite struct {
	dir   string   // private directory on a disk
	kinds []string // the runtimes in /usr/local/sbin, by name: onggi, runc, crun
	kind  string   // the first of them, the one under test
	image string   // a docker-archive with busybox
	shim  string   // containerd's shim for the containers of ctr and of the CRI
}

var env suite

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := 0, error(nil)
	switch stage := os.Getenv(stageEnv); {
	case os.Getuid() != 0:
		fmt.Println("the engines need root: skipped")
	case stage == "":
		code, err = outside()
	case stage == "init":
		code, err = first()
	default:
		code, err = inside(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		code = 1
	}
	os.Exit(code)
}

// outside runs one sandbox for each runtime, and one with all runtimes, which times them in turns.
func outside() (int, error) {
	dir, err := os.MkdirTemp("", "onggi-engines-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("make", "-C", "../..", "install", "DESTDIR="+filepath.Join(dir, installed)).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("make install: %w\n%s", err, out)
	}
	var runtimes []string
	for _, name := range strings.Split(os.Getenv("RUNTIME"), ",") {
		path, err := findRuntime(dir, name)
		if err != nil {
			return 1, err
		}
		runtimes = append(runtimes, path)
	}
	worst, all := 0, table{}
	visit := func(runtimes ...string) error {
		place := filepath.Join(dir, fmt.Sprint(len(all.Columns)))
		code, err := sandbox(place, runtimes)
		worst = max(worst, code)
		return errors.Join(err, all.read(place, len(runtimes) > 1))
	}
	for _, path := range runtimes {
		if err := visit(path); err != nil {
			return 1, err
		}
	}
	if len(runtimes) > 1 {
		if err := visit(runtimes...); err != nil {
			return 1, err
		}
	}
	fmt.Print("\n" + all.render())
	if *update {
		return worst, all.publish()
	}
	return worst, nil
}

// findRuntime is the path of the binary that is called name; "" and "onggi" are the one that make has installed below
// dir.
func findRuntime(dir, name string) (string, error) {
	if name == "" || name == "onggi" {
		return filepath.Join(dir, installed, "usr/local/sbin/onggi"), nil
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range []string{"usr/sbin", "usr/bin"} {
		path := filepath.Join("/", os.Getenv("TREE"), dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// sandbox runs this program again in namespaces of its own, in a cgroup of its own.
func sandbox(dir string, runtimes []string) (int, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 1, err
	}
	leave, err := enterCgroup(fmt.Sprintf("onggi-engines-%d", os.Getpid()))
	if err != nil {
		return 1, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageEnv+"=init", "ONGGI_ENGINES_DIR="+dir, "RUNTIME="+strings.Join(runtimes, ","))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	err = cmd.Run()
	if left := leave(); left != nil {
		return 1, left
	}
	if cmd.ProcessState == nil {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// first is process 1 of the sandbox: it starts the tests and reaps orphans.
func first() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageEnv+"=tests")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	if os.Getenv("STARVED") != "" {
		starve()
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, err
		case pid == cmd.Process.Pid && status.Signaled():
			return 1, fmt.Errorf("the tests were killed by signal %d", status.Signal())
		case pid == cmd.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}

// starve keeps all processors busy until the sandbox ends. A runtime that relies on the order of two processes shows it
// then.
func starve() {
	for range runtime.NumCPU() {
		go func() {
			for n := 0; ; n++ {
				_ = n
			}
		}()
	}
}

func inside(m *testing.M) (int, error) {
	// Shells and CI machines leak descriptors, and daemons would hand them on to every container.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 1, err
	}
	env.dir = os.Getenv("ONGGI_ENGINES_DIR")
	runtimes := strings.Split(os.Getenv("RUNTIME"), ",")
	for _, path := range runtimes {
		env.kinds = append(env.kinds, filepath.Base(path))
	}
	env.kind, env.shim = env.kinds[0], runcShim
	env.image = filepath.Join(env.dir, "busybox.tar")
	// conmon writes a file into its working directory when the kernel kills a container for its memory. containerd looks for a
	// shim in its working directory, so this one is empty.
	work := filepath.Join(env.dir, "work")
	if err := errorsOf(busyboxImage(env.image), furnish(runtimes), os.Mkdir(work, 0o755), os.Chdir(work)); err != nil {
		return 1, fmt.Errorf("sandbox: %w", err)
	}
	version, err := exec.Command(env.kind, "--version").Output()
	if err != nil {
		return 1, fmt.Errorf("%s --version: %w", env.kind, err)
	}
	line, _, _ := strings.Cut(string(version), "\n")
	report.Runtime = strings.Replace(line, " version", "", 1)
	report.System = systemName()
	code := m.Run()
	return code, report.write(env.dir)
}
