package libcontainer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/specconv"
)

func TestParseID(t *testing.T) {
	for in, want := range map[string]uint32{"0": 0, "1000": 1000, "00017": 17, "4294967294": 4294967294} {
		if got, err := parseID(in); got != want || err != nil {
			t.Errorf("parseID(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "root", "-1", "+1", "4294967295", "4294967296", "18446744073709551616", " 1", "1 ", "0x10", "1e3", "1_000", "1\n", "١"} {
		if got, err := parseID(in); err == nil {
			t.Errorf("parseID(%q) = %d; want an error", in, got)
		}
	}
}

// containerProcess returns a process with a value for most fields.
func containerProcess() *specs.Process {
	p := specconv.Example().Process
	p.ConsoleSize = &specs.Box{Height: 1, Width: 2}
	p.User = specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{3}}
	p.Capabilities = &specs.LinuxCapabilities{
		Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"},
		Inheritable: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_CHOWN"},
	}
	p.ApparmorProfile, p.SelinuxLabel = "own-profile", "own-label"
	p.NoNewPrivileges = false
	return p
}

func TestExecProcess(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options ExecOptions
		check   func(p *specs.Process) bool
	}{
		{"arguments", ExecOptions{Args: []string{"ls", "-l"}}, func(p *specs.Process) bool {
			return slices.Equal(p.Args, []string{"ls", "-l"}) && p.Cwd == "/" && !p.Terminal && p.ConsoleSize == nil && p.User.UID == 1 && p.User.GID == 2
		}},
		{"a terminal", ExecOptions{Tty: true}, func(p *specs.Process) bool { return p.Terminal }},
		{"a directory", ExecOptions{Cwd: "/tmp"}, func(p *specs.Process) bool { return p.Cwd == "/tmp" }},
		{"environment is added", ExecOptions{Env: []string{"A=1"}}, func(p *specs.Process) bool {
			return len(p.Env) == 3 && p.Env[1] == "TERM=xterm" && p.Env[2] == "A=1"
		}},
		{"a user alone keeps the group", ExecOptions{User: "7"}, func(p *specs.Process) bool { return p.User.UID == 7 && p.User.GID == 2 }},
		{"a user and a group", ExecOptions{User: "7:8"}, func(p *specs.Process) bool { return p.User.UID == 7 && p.User.GID == 8 }},
		{"groups are added", ExecOptions{AdditionalGids: []uint32{9}}, func(p *specs.Process) bool {
			return slices.Equal(p.User.AdditionalGids, []uint32{3, 9})
		}},
		{"capabilities are added, but to the inheritable set", ExecOptions{Caps: []string{"CAP_NET_RAW"}}, func(p *specs.Process) bool {
			want := []string{"CAP_KILL", "CAP_NET_RAW"}
			c := p.Capabilities
			return slices.Equal(c.Bounding, want) && slices.Equal(c.Effective, want) && slices.Equal(c.Permitted, want) &&
				slices.Equal(c.Inheritable, []string{"CAP_CHOWN"}) && slices.Equal(c.Ambient, []string{"CAP_CHOWN", "CAP_NET_RAW"})
		}},
		{"no new privileges", ExecOptions{NoNewPrivs: true}, func(p *specs.Process) bool { return p.NoNewPrivileges }},
		{"labels", ExecOptions{Apparmor: "a", ProcessLabel: "s"}, func(p *specs.Process) bool { return p.ApparmorProfile == "a" && p.SelinuxLabel == "s" }},
		{"the container's labels", ExecOptions{}, func(p *specs.Process) bool {
			return p.ApparmorProfile == "own-profile" && p.SelinuxLabel == "own-label"
		}},
		{"a complete process", ExecOptions{Process: &specs.Process{Args: []string{"x"}, User: specs.User{UID: 5}}, Args: []string{"ignored"}}, func(p *specs.Process) bool {
			return slices.Equal(p.Args, []string{"x"}) && p.User.UID == 5 && p.Capabilities != nil && p.ApparmorProfile == "own-profile" && len(p.Rlimits) == 1
		}},
	} {
		spec := &specs.Spec{Process: containerProcess()}
		p, err := tt.options.process(spec)
		if err != nil || !tt.check(p) {
			t.Errorf("%s: process = %+v, %v", tt.name, p, err)
		}
		if own := containerProcess(); !slices.Equal(spec.Process.Env, own.Env) || !slices.Equal(spec.Process.User.AdditionalGids, own.User.AdditionalGids) || !slices.Equal(spec.Process.Capabilities.Bounding, own.Capabilities.Bounding) {
			t.Errorf("%s: the container's own process is %+v now", tt.name, spec.Process)
		}
	}
}

func TestExecProcessErrors(t *testing.T) {
	spec := &specs.Spec{Process: containerProcess()}
	for _, o := range []ExecOptions{
		{User: "root"},
		{User: "4294967295"},
		{User: "4294967296"},
		{User: "-1"},
		{User: "0:"},
		{User: ":0"},
		{User: "1:2:3"},
		{User: "0:root"},
		{Caps: []string{"CAP_NONSENSE"}},
	} {
		if p, err := o.process(spec); err == nil {
			t.Errorf("user %q, capabilities %q: process = %+v; want an error", o.User, o.Caps, p)
		}
	}
	if _, err := (&ExecOptions{Args: []string{"x"}}).process(&specs.Spec{}); err == nil {
		t.Error("a container without a process gives one to take the rest from")
	}
	if _, err := (&ExecOptions{Process: &specs.Process{Args: []string{"x"}}}).process(&specs.Spec{}); err != nil {
		t.Errorf("a complete process in a container without one: %v", err)
	}
}

// A process without capabilities gets only those that the caller names. A capability in several sets is named once.
func TestExecCapabilitiesWithoutTheContainers(t *testing.T) {
	p := containerProcess()
	p.Capabilities = nil
	got, err := (&ExecOptions{Caps: []string{"CAP_KILL"}}).process(&specs.Spec{Process: p})
	if err != nil || !slices.Equal(got.Capabilities.Effective, []string{"CAP_KILL"}) || len(got.Capabilities.Inheritable)+len(got.Capabilities.Ambient) != 0 {
		t.Errorf("capabilities are %+v, %v", got, err)
	}
}

// FuzzExecUser: an accepted user is one or two ids. A refused one changes nothing.
func FuzzExecUser(f *testing.F) {
	for _, s := range []string{"0", "1000:100", "4294967295", "4294967296", "+1", "1:", ":1", "0x10", "1_0", "root"} {
		f.Add(s)
	}
	form := regexp.MustCompile(`^([0-9]+)(:[0-9]+)?$`)
	f.Fuzz(func(t *testing.T, user string) {
		if user == "" {
			return
		}
		before := specs.User{UID: 7, GID: 8}
		p := specs.Process{User: before}
		err := (&ExecOptions{User: user}).user(&p)
		if err != nil {
			if p.User.UID != before.UID || p.User.GID != before.GID {
				t.Errorf("user(%q) = %v, and the process is that of %+v", user, err, p.User)
			}
			return
		}
		if !form.MatchString(user) {
			t.Fatalf("user(%q) accepts it", user)
		}
		uid, gid, both := strings.Cut(user, ":")
		if !both {
			gid = "8"
		}
		want := strings.TrimLeft(uid, "0") + ":" + strings.TrimLeft(gid, "0")
		if got := strings.TrimLeft(strconv.Itoa(int(p.User.UID)), "0") + ":" + strings.TrimLeft(strconv.Itoa(int(p.User.GID)), "0"); got != want {
			t.Errorf("user(%q) = %+v", user, p.User)
		}
	})
}

// FuzzExecProcess turns a file of exec --process into a plan. An accepted file has a plan. A refused one has an error of one
// line.
func FuzzExecProcess(f *testing.F) {
	f.Add([]byte(`{"args": ["sh", "-c", "id"], "cwd": "/", "user": {"uid": 1, "additionalGids": [5]}, "env": ["A=b"]}`))
	f.Add([]byte(`{"args": ["a"], "cwd": "/", "rlimits": [{"type": "RLIMIT_CPU", "hard": 1}], "capabilities": {"bounding": ["CAP_KILL"]}}`))
	f.Add([]byte(`{"args": [""], "cwd": "x", "scheduler": {"policy": "SCHED_FIFO", "priority": 1}, "ioPriority": {"class": "IOPRIO_CLASS_BE"}}`))
	f.Add([]byte(`{"args": ["a"], "cwd": "/", "execCPUAffinity": {"initial": "0-1"}, "terminal": true, "consoleSize": {"height": 1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec := specconv.Example()
		var given specs.Process
		if specconv.Decode("process.json", raw, &given) != nil {
			return
		}
		o := ExecOptions{Process: &given, ConsoleSocket: "/s"}
		p, err := o.process(spec)
		if err != nil {
			t.Fatalf("process(%s) = %v; want what is given", raw, err)
		}
		if !p.Terminal {
			o.ConsoleSocket = ""
		}
		if err := checkProcess(spec, p, o); err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("checkProcess(%s): an error of more than one line: %q", raw, err)
			}
			return
		}
		if len(p.Args) == 0 || !strings.HasPrefix(p.Cwd, "/") {
			t.Errorf("checkProcess(%s) accepts it", raw)
		}
		plan, err := plan.Exec(plan.ExecRequest{Spec: spec, Process: p, ID: "c", Rootfs: "/r"})
		if err != nil || plan == nil {
			t.Errorf("Exec(%s) = %v, %v", raw, plan, err)
		}
	})
}
