package engines

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds one command of an engine.
const patience = 60 * time.Second

// slowly is a time limit, which is longer beside a busy loop.
func slowly(limit time.Duration) time.Duration {
	if os.Getenv("STARVED") != "" {
		return 6 * limit
	}
	return limit
}

// engine is a program that runs containers, and the test cases for it.
type engine struct {
	name    string
	needs   map[string]string // program: its Debian package
	version []string          // command that prints the version
	start   func(t *testing.T) client
	cases   []testCase
	shim    bool // onggi's own shim runs the containers
}

// testCase is a row of the table.
type testCase struct {
	name string
	run  func(c *client)
}

// client is an engine's command line, within one test case.
type client struct {
	*testing.T
	command []string
	env     []string
	daemon  *daemon // the daemon that it talks to, or nil
	pulls   bool    // images come from the registry of the tests
}

func TestEngines(t *testing.T) {
	if len(env.kinds) > 1 {
		t.Skip("several runtimes: they are timed, not tested")
	}
	for _, e := range []engine{containerd(), withShim(containerd()), cri(), withShim(cri()), podman(), rootless(), rootlessV2(), docker(), withShim(docker()), swarm()} {
		t.Run(e.name, func(t *testing.T) { e.run(t) })
	}
}

func (e engine) run(t *testing.T) {
	e.installed(t)
	if e.shim && env.kind != "onggi" {
		t.Skip("only onggi has a shim of its own")
	}
	before := mounts()
	t.Run("engine", func(t *testing.T) { // its own clean-ups stop the daemon before leftovers are looked for
		c := e.start(t)
		for _, tc := range e.cases {
			ran := false
			ok := t.Run(tc.name, func(t *testing.T) {
				defer func() { ran = !t.Skipped() }()
				own := c
				own.T = t
				began := time.Now()
				tc.run(&own)
				if testing.Verbose() {
					t.Logf("took %d ms", time.Since(began).Milliseconds())
				}
			})
			if ran {
				report.add(e, tc.name, ok)
			}
		}
	})
	ok := t.Run("nothing is left", func(t *testing.T) { leftovers(t, before) })
	report.add(e, "nothing is left", ok)
}

// installed skips the test if a program that the engine needs is missing.
func (e engine) installed(t *testing.T) {
	t.Helper()
	for program, pkg := range e.needs {
		if _, err := exec.LookPath(program); err != nil {
			if pkg == "" {
				t.Skipf("%s is not installed: make bin/%s", program, program)
			}
			t.Skipf("%s is not installed: apt-get install %s", program, pkg)
		}
	}
}

// title is the engine's name and version, without the shim.
func (e engine) title() string {
	e.name = strings.TrimSuffix(e.name, withOwnShim)
	out, err := exec.Command(e.version[0], e.version[1:]...).Output()
	if err != nil {
		return e.name
	}
	return e.name + " " + number.FindString(string(out))
}

// number matches a version without the suffix of a distribution.
var number = regexp.MustCompile(`\d+(\.\d+)+`)

var serial atomic.Int64

// name returns an unused container name.
func (c *client) name() string { return fmt.Sprintf("c%d", serial.Add(1)) }

// ok runs a command that has to succeed and returns its output.
func (c *client) ok(args ...string) string {
	c.Helper()
	return c.exits(0, args...)
}

// exits runs a command that has to end with the exit status code, and returns its output.
func (c *client) exits(code int, args ...string) string {
	c.Helper()
	out, got := c.try(args...)
	if got != code {
		c.Fatalf("%s %s = %d; want %d\n%s", c.command[0], strings.Join(args, " "), got, code, out)
	}
	return out
}

// try runs a command and returns its output and its exit status.
func (c *client) try(args ...string) (string, int) {
	c.Helper()
	return c.tryInput("", args...)
}

func (c *client) tryInput(input string, args ...string) (string, int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), slowly(patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], append(c.command[1:len(c.command):len(c.command)], args...)...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second // a detached container may hold the pipe
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		c.Fatalf("%s %s: does not end\n%s", c.command[0], strings.Join(args, " "), out)
	}
	if cmd.ProcessState == nil {
		c.Fatal(err)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// later runs a command at the end of the test case and ignores its result.
func (c *client) later(args ...string) {
	c.Cleanup(func() { c.try(args...) })
}

// terminal runs a command on a terminal of 31 rows and 97 columns and types input. It returns the contents of the terminal
// and the exit status.
func (c *client) terminal(input string, args ...string) (string, int) {
	c.Helper()
	master, slave, err := openPty()
	if err != nil {
		c.Fatal(err)
	}
	defer master.Close()
	ctx, cancel := context.WithTimeout(context.Background(), slowly(patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], append(c.command[1:len(c.command):len(c.command)], args...)...)
	cmd.Env = append(append(os.Environ(), c.env...), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		c.Fatal(err)
	}
	fmt.Fprint(master, input)
	var out bytes.Buffer
	io.Copy(&out, master) // ends with EIO, when the last one has closed the terminal
	if err := cmd.Wait(); cmd.ProcessState == nil {
		c.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func openPty() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = errorsOf(
			unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
			unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 31, Col: 97}))
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
	}
	return master, slave, err
}

// has fails the test case unless out contains every one of texts. crun's errors begin with capitals.
func (c *client) has(out string, texts ...string) {
	c.Helper()
	for _, text := range texts {
		if !strings.Contains(strings.ToLower(out), strings.ToLower(text)) {
			c.Fatalf("no %q in\n%s", text, out)
		}
	}
}

// reports fails the test case unless out has the runtime's reasons. onggi also names the field of config.json, on the same
// line.
func (c *client) reports(out, field string, reasons ...string) {
	c.Helper()
	c.has(out, reasons...)
	if env.kind != "onggi" {
		return
	}
	for _, line := range strings.Split(out, "\n") {
		has := func(reason string) bool { return strings.Contains(line, reason) }
		if has(field) && !slices.ContainsFunc(reasons, func(reason string) bool { return !has(reason) }) {
			return
		}
	}
	c.Fatalf("no line with %q and %q in\n%s", field, reasons, out)
}

// fails runs a command that must not succeed and returns its output.
func (c *client) fails(args ...string) string {
	c.Helper()
	out, code := c.try(args...)
	if code == 0 {
		c.Fatalf("%s %s succeeds\n%s", c.command[0], strings.Join(args, " "), out)
	}
	return out
}

// sized is a shell command that ends when the terminal has the size that the method terminal gives it. Engines set the size
// after the start of the program.
const sized = "i=0; until stty size 2>/dev/null | grep '31 97'; do i=$((i+1)); test $i -lt 50 || break; sleep 0.1; done"

// is fails the test case unless got is want.
func (c *client) is(got, want string) {
	c.Helper()
	if got != want {
		c.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// code fails the test case unless the exit status is the expected one.
func (c *client) code(got, want int) {
	c.Helper()
	if got != want {
		c.Fatalf("exit status %d; want %d", got, want)
	}
}

// get waits for an HTTP server and returns its answer.
func get(t *testing.T, url string) string {
	t.Helper()
	var err error
	for deadline := time.Now().Add(slowly(10 * time.Second)); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var answer *http.Response
		if answer, err = http.Get(url); err != nil {
			continue
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	t.Fatal(err)
	return ""
}

// until repeats a command until it writes text. There is no event to wait for.
func (c *client) until(text string, args ...string) {
	c.Helper()
	var out string
	for deadline := time.Now().Add(slowly(20 * time.Second)); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if out, _ = c.try(args...); strings.Contains(out, text) {
			return
		}
	}
	c.Fatalf("%s %s never says %q:\n%s", c.command[0], strings.Join(args, " "), text, out)
}
