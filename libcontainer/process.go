package libcontainer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/console"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

// This file has what Create and Exec share.

// stdio is the three standard streams. /dev/null takes the place of missing ones.
type stdio struct {
	files [3]*os.File
	null  *os.File
}

func openStdio(files ...*os.File) (*stdio, error) {
	s := &stdio{}
	copy(s.files[:], files)
	for i, f := range s.files {
		if f != nil {
			continue
		}
		if s.null == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			s.null = null
		}
		s.files[i] = s.null
	}
	return s, nil
}

func (s *stdio) close() {
	if s.null != nil {
		s.null.Close()
	}
}

// environment returns the environment of the program. The last value of a variable wins, and
// HOME is filled in. The variables of socket activation match the descriptors that are
// really passed.
func environment(env []string, home string, listenFDs int) []string {
	env = lastWins(env)
	if home != "" {
		env = setEnv(env, "HOME", home)
	}
	if listenFDs > 0 {
		env = setEnv(env, "LISTEN_FDS", strconv.Itoa(listenFDs))
		env = setEnv(env, "LISTEN_PID", "1")
	}
	return env
}

func lastWins(env []string) []string {
	at := make(map[string]int, len(env))
	out := make([]string, 0, len(env)+3)
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		if i, ok := at[k]; ok {
			out[i] = kv
			continue
		}
		at[k] = len(out)
		out = append(out, kv)
	}
	return out
}

func setEnv(env []string, key, value string) []string {
	i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
	if i < 0 {
		return append(env, key+"="+value)
	}
	env[i] = key + "=" + value
	return env
}

func (c *creation) environment(env []string, home string) []string {
	env = environment(env, home, c.o.ListenFDs)
	if c.o.NotifySocket != "" {
		env = setEnv(env, "NOTIFY_SOCKET", notifyPath)
	}
	return env
}

func sendPidfd(ctx context.Context, socket string, pidfd *os.File, payload string) error {
	return console.SendFD(ctx, socket, pidfd, payload)
}

// consoleFunc returns the function that hands over the pty master: to the socket if there is
// one, else to take.
func consoleFunc(ctx context.Context, socket string, take func(*os.File) error) func(*os.File) error {
	if socket == "" {
		return take
	}
	return func(master *os.File) error {
		defer master.Close()
		return console.SendMaster(ctx, socket, master, master.Name())
	}
}

func (c *creation) console(ctx context.Context) func(*os.File) error {
	return consoleFunc(ctx, c.o.ConsoleSocket, c.o.Console)
}

// filter returns the compiled filter of linux.seccomp.
func (r *Runtime) filter(ctx context.Context, config *specconv.Config) (engine.Filter, error) {
	defer r.span("find the seccomp filter").End()
	var compile timeline.Span
	f, err := r.filters().Load(ctx, config.SeccompRaw, func() (*specs.LinuxSeccomp, error) {
		compile = r.span("compile the seccomp filter, which is not in the cache")
		return config.Seccomp()
	})
	compile.EndWith(err)
	if err == nil {
		err = checkUnknown(config.Spec, f)
	}
	if err != nil {
		return engine.Filter{}, pointed(err)
	}
	return engine.Filter{Program: f.Program, Flags: f.Flags}, nil
}

func (c *creation) filter(ctx context.Context) (engine.Filter, error) {
	return c.Runtime.filter(ctx, c.config)
}

func (c *creation) sendListener(ctx context.Context, pid int, fd *os.File) error {
	s := c.config.Spec.Linux.Seccomp
	return seccomp.SendListener(ctx, s.ListenerPath, processState(s, c.specState(specs.StateCreating, pid), pid), fd)
}

func processState(s *specs.LinuxSeccomp, st specs.State, pid int) specs.ContainerProcessState {
	return specs.ContainerProcessState{Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: pid, Metadata: s.ListenerMetadata, State: st}
}

func (c *creation) specState(status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: specs.Version, ID: c.id, Status: status, Pid: pid, Bundle: c.bundle, Annotations: c.config.Spec.Annotations}
}

// explain adds a cause that only the runtime side can see: the kernel has killed the stub
// because the memory limit is too low.
func (c *creation) explain(err error) error {
	if died, killed := engine.Killed(err); !died || !killed {
		return err
	}
	if c.oomKilled() {
		return &Failure{Field: "/linux/resources/memory/limit", Step: "set the container up", Hint: "the kernel killed the first process: container init was OOM-killed (memory limit too low?)", Err: err}
	}
	return err
}

func (c *creation) oomKilled() bool {
	n, ok := oomKills(c.paths)
	return ok && n > 0
}

// oomKills returns the number of processes that the cgroup's memory limit has killed.
func oomKills(p cgroup.Paths) (uint64, bool) {
	file, key := "", "oom_kill"
	for _, d := range p.V1 {
		if slices.Contains(d.Controllers, "memory") {
			file = filepath.Join(d.Abs(), "memory.oom_control")
		}
	}
	if file == "" && p.Unified != nil {
		file = filepath.Join(p.Unified.Abs(), "memory.events")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func recordCgroup(manager string, p cgroup.Paths) state.Cgroup {
	c := state.Cgroup{Manager: manager}
	for _, d := range p.V1 {
		c.V1 = append(c.V1, state.CgroupPath(d))
	}
	if p.Unified != nil {
		d := state.CgroupPath(*p.Unified)
		c.Unified = &d
	}
	return c
}

func cgroupPaths(c state.Cgroup) cgroup.Paths {
	var p cgroup.Paths
	if len(c.V1) > 0 {
		p.V1 = make([]cgroup.Dir, len(c.V1))
	}
	for i, d := range c.V1 {
		p.V1[i] = cgroup.Dir(d)
	}
	if c.Unified != nil {
		d := cgroup.Dir(*c.Unified)
		p.Unified = &d
	}
	return p
}

// oneLine puts the lines of a joined error on one line.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	return &lineError{err}
}

// pointed turns an error into a Failure if its text begins with a JSON pointer into
// config.json.
func pointed(err error) error {
	if err == nil {
		return nil
	}
	field, _, ok := strings.Cut(err.Error(), ": ")
	if !ok || !strings.HasPrefix(field, "/linux/") {
		return err
	}
	return &Failure{Field: field, Err: &pointless{oneLine(err), len(field) + len(": ")}}
}

// pointless is an error without the first bytes of its text.
type pointless struct {
	err  error
	skip int
}

func (e *pointless) Error() string { return e.err.Error()[e.skip:] }
func (e *pointless) Unwrap() error { return e.err }

type lineError struct{ err error }

func (e *lineError) Error() string { return strings.ReplaceAll(e.err.Error(), "\n", "; ") }
func (e *lineError) Unwrap() error { return e.err }

var errNoConsole = errors.New("no terminal was asked for")

// waitTime bounds the waits for a container that has to end, freeze or thaw.
const waitTime = 10 * time.Second
