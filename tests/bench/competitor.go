package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// competitor is a runtime, or the floor, with one bundle, one container and one lane.
type competitor struct {
	name    string
	version string
	path    string
	floor   bool

	home   string // directory with rootfs, bundles and state
	dir    string // the bundle
	root   string // --root
	id     string
	cgroup string
	lane   *lane
	log    *os.File
	pause  time.Duration // before each start of a process
	wrap   func([]string) []string
}

// worker returns the same competitor with a lane, a bundle and a container of its own, so that several can work at once.
func (c *competitor) worker(n int) (*competitor, error) {
	w := *c
	w.id = fmt.Sprintf("%s-%d", c.id, n)
	w.dir = filepath.Join(c.home, w.id)
	w.cgroup = fmt.Sprintf("%s-%d", c.cgroup, n)
	var err error
	if w.lane, err = c.lane.twin(); err != nil {
		return nil, err
	}
	return &w, errors.Join(os.MkdirAll(w.dir, 0o755), c.copyFiles(&w))
}

// copyFiles copies the bundle's bind sources to a worker.
func (c *competitor) copyFiles(w *competitor) error {
	from := filepath.Join(c.dir, "files")
	if _, err := os.Stat(from); err != nil {
		return nil
	}
	return os.CopyFS(filepath.Join(w.dir, "files"), os.DirFS(from))
}

// write writes the bundle's config.json, with this competitor's rootfs and cgroup.
func (c *competitor) write(spec *specs.Spec) error {
	root, linux := *spec.Root, *spec.Linux
	own := *spec
	own.Root, own.Linux = &root, &linux
	root.Path = filepath.Join(c.home, "rootfs")
	linux.CgroupsPath = c.cgroup
	data, err := json.MarshalIndent(&own, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o644)
}

// argv returns a command line of the runtime.
func (c *competitor) argv(args ...string) []string {
	return append([]string{c.path, "--root", c.root}, args...)
}

// runArgv returns the command line that runs the bundle's container to its end.
func (c *competitor) runArgv() []string {
	if c.floor {
		return append([]string{c.path, filepath.Join(c.home, "rootfs"), "/bin/true"}, cgroupDirs(c.cgroup)...)
	}
	return c.argv("run", "--bundle", c.dir, c.id)
}

// call runs a command line to its end. An error contains the end of its output.
func (c *competitor) call(argv ...string) (usage, error) {
	if c.pause > 0 {
		<-time.After(c.pause)
	}
	if c.wrap != nil {
		argv = c.wrap(argv)
	}
	used, err := c.lane.run(c.log, argv...)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, c.lastLine())
	}
	return used, err
}

func (c *competitor) verb(args ...string) (usage, error) { return c.call(c.argv(args...)...) }

func (c *competitor) lastLine() string {
	info, err := c.log.Stat()
	if err != nil {
		return err.Error()
	}
	const enough = 4096
	data, _ := io.ReadAll(io.NewSectionReader(c.log, max(0, info.Size()-enough), enough))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}

func (c *competitor) run() (usage, error) { return c.call(c.runArgv()...) }

// create creates a container and returns its first process.
func (c *competitor) create() (usage, int, error) {
	pidFile := filepath.Join(c.dir, "pid")
	used, err := c.verb("create", "--bundle", c.dir, "--pid-file", pidFile, c.id)
	if err != nil {
		return used, 0, err
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return used, 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	return used, pid, err
}

func (c *competitor) start() (usage, error) { return c.verb("start", c.id) }

func (c *competitor) execTrue() (usage, error) { return c.verb("exec", c.id, "/bin/true") }

// up creates and starts a container.
func (c *competitor) up() (int, error) {
	_, pid, err := c.create()
	if err == nil {
		_, err = c.start()
	}
	return pid, err
}

// down kills the container, collects its process and deletes it.
func (c *competitor) down(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if _, _, err := (process{pid: pid}).wait(); err != nil {
		return err
	}
	_, err := c.verb("delete", c.id)
	return err
}

// version returns the output of --version behind the name.
func version(name, path string) string {
	out, _ := exec.Command(path, "--version").Output()
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(first, name+" version ")
}

// reapAll reaps the orphans of a killed runtime, which become children of this process.
func reapAll() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

// cgroupDirs returns the absolute names of a cgroup in every hierarchy.
func cgroupDirs(path string) []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var dirs []string
	for line := range strings.Lines(string(data)) {
		front, back, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(back, "cgroup ") || strings.HasPrefix(back, "cgroup2 ") {
			dirs = append(dirs, filepath.Join(strings.Fields(front)[4], path))
		}
	}
	return dirs
}
