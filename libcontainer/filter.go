package libcontainer

import (
	"context"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

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
		return engine.Filter{}, ofField(err)
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
