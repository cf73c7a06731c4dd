package tests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pace builds the command that slows down one side of a runtime, once, and returns its path.
var pace = sync.OnceValues(func() (string, error) {
	path := filepath.Join(env.dir, "pace")
	if out, err := exec.Command("go", "build", "-o", path, "./pace").CombinedOutput(); err != nil {
		return "", fmt.Errorf("pace: %w\n%s", err, out)
	}
	return path, nil
})

// schedules returns the two extremes, in which one side is always ahead, and some random mixtures.
func schedules(t *testing.T) map[string][]string {
	t.Helper()
	path, err := pace()
	if err != nil {
		t.Skip(err)
	}
	all := map[string][]string{
		"a slow runtime": {path, "-side", "runtime", "-pause", "300us"},
		"a slow stub":    {path, "-side", "stub", "-pause", "300us"},
	}
	for seed := range amount(0, 0, 1) {
		all[fmt.Sprintf("both, seed %d", seed)] = []string{path, "-share", "0.1", "-pause", "3ms", "-seed", fmt.Sprint(seed)}
	}
	return all
}

// Neither side may depend on the progress of the other beyond the protocol between them.
func TestEitherSideMayBeSlow(t *testing.T) {
	const kept = "CAP_KILL"
	user := func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5}} }
	tests := []struct {
		name  string
		edits []edit
		exec  []string // flags
	}{
		{"root", nil, nil},
		{"user", []edit{user}, []string{"--user", "1000:1000"}},
		{"another user than the container's", nil, []string{"--user", "1000:1000", "--additional-gids", "5", "--cap", kept}},
		{"user namespace", []edit{userNamespace(100000)}, []string{"--user", "1000:1000"}},
		{"no new privileges, or a filter", []edit{user, func(s *specs.Spec) {
			s.Process.NoNewPrivileges = false
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"reboot"}, Action: specs.ActErrno}}}
		}}, nil},
		{"limits", []edit{user, func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_NPROC", Soft: 1000, Hard: 1000}, {Type: "RLIMIT_CORE"}}
			s.Process.OOMScoreAdj = ptr(500)
		}}, nil},
		{"scheduler", []edit{func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 3, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
		}}, nil},
		{"hooks", []edit{
			hooks("createRuntime", hook("true")), hooks("createContainer", hook("true")), hooks("poststart", hook("true")),
			hooks("startContainer", specs.Hook{Path: "/bin/true", Args: []string{"true"}}),
		}, nil},
		{"pid namespace of the host", []edit{without(specs.PIDNamespace)}, []string{"--user", "1000:1000"}},
	}
	for name, wrapper := range schedules(t) {
		for _, test := range tests[:amount(2, 4, len(tests))] {
			t.Run(name+"/"+test.name, func(t *testing.T) {
				c := newContainer(t, test.edits...)
				c.edit(args("sleep", "1000"))
				c.wrapper = wrapper
				c.up()
				r := c.exec(test.exec, "sh", "-c", "echo out; echo err >&2; exit 5")
				if r.out != "out\n" || r.err != "err\n" || r.code != 5 {
					t.Error(r)
				}
				c.must("kill", c.id, "KILL")
				c.stopped()
				c.must("delete", c.id)
			})
		}
	}
}
