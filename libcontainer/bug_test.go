package libcontainer_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer"
)

// A panic during a set-up is undone like an error: no process, cgroup, descriptor or state is left. It is returned as an
// error with the word BUG and the place of the panic.
func TestAPanicIsUndone(t *testing.T) {
	path, root := rootfs(t), t.TempDir()
	var nothing []int
	index := func() { _ = nothing[len(nothing)] }
	for _, tt := range []struct {
		name   string
		panics string // the callback that panics: Warn or Console
		exec   bool
	}{
		{"create, at the cgroup", "warn", false},
		{"create, in the container", "console", false},
		{"exec, in the container", "console", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := unique("bug")
			options := libcontainer.Options{Root: root}
			if tt.panics == "warn" {
				options.Warn = func(string) { index() }
			}
			runtime, err := libcontainer.New(options)
			must(t, err)
			check := leavesNothing(t, root, name)
			s := spec(path, name, "sleep", "1000")
			o := libcontainer.CreateOptions{Spec: s}
			console := func(master *os.File) error {
				master.Close()
				index()
				return nil
			}
			switch {
			case tt.panics == "warn":
				swap := int64(1)                                                                     // causes a warning: the cgroup has no such limit
				s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: &swap}} //nolint:staticcheck // still in use
			case !tt.exec:
				s.Process.Terminal, o.Console = true, console
			}
			c, err := runtime.Create(t.Context(), name, o)
			if tt.exec {
				must(t, err)
				must(t, c.Start(t.Context()))
				var p *libcontainer.Process
				p, err = c.Exec(t.Context(), libcontainer.ExecOptions{Args: []string{"sh"}, Tty: true, Console: console})
				if p != nil {
					t.Error("there is a process")
				}
				if pids, err := c.Processes(); len(pids) != 1 || err != nil {
					t.Errorf("Processes() = %v, %v; want the first alone", pids, err)
				}
				must(t, c.Delete(t.Context(), true))
			}
			var bug *libcontainer.Bug
			if !errors.As(err, &bug) || !strings.Contains(err.Error(), "BUG: runtime error: index out of range") || strings.Contains(err.Error(), "\n") {
				t.Errorf("err = %v; want a Bug in one line", err)
			}
			check()
		})
	}
}
