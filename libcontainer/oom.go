package libcontainer

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
)

// explain adds a cause that only the runtime side can see: the kernel has killed the stub
// because the memory limit is too low, or the seccomp filter has ended it.
func (c *creation) explain(err error) error {
	if died, killed := engine.Killed(err); !died || !killed {
		return deniedBySeccomp(c.config.Spec, err)
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
