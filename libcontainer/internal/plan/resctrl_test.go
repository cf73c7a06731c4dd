package plan

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

func TestJoinResctrl(t *testing.T) {
	dirs := []string{"/sys/fs/resctrl/gold", "/sys/fs/resctrl/gold/mon_groups/c1"}
	s := specconv.Example()
	s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}
	r := request(s, hostV2())
	r.Resctrl = dirs
	first := create(t, r)
	further := exec(t, ExecRequest{Spec: s, Process: s.Process, ID: "c1", Rootfs: "/r", Resctrl: dirs, Host: hostV2()})
	for name, p := range map[string]*Plan{"create": first, "exec": further} {
		at := slices.IndexFunc(p.Items, func(it Item) bool { j, ok := it.Step.(JoinResctrl); return ok && slices.Equal(j.Dirs, dirs) })
		forks := slices.IndexFunc(p.Items, func(it Item) bool {
			switch it.Step.(type) {
			case Fork, ForkInto, CloneInto:
				return true
			}
			return false
		})
		if at < 0 || forks >= 0 && forks < at {
			t.Errorf("%s: joined at step %d, forked at %d", name, at, forks)
		}
	}
}
