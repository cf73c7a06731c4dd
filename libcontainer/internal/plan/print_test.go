package plan

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// samples has one step of each type, with every field that its text shows.
var samples = []Step{
	Spawn{Namespaces: unix.CLONE_NEWPID, Cgroup: true},
	Harden{},
	Session{},
	OOMScoreAdj{Value: -5},
	LimitBandwidth{Egress: specconv.Bandwidth{Rate: 10_000_000, Burst: 250_000}, Ingress: specconv.Bandwidth{Rate: 1000, Burst: 1 << 20}},
	JoinCgroups{Files: []string{"/sys/fs/cgroup/pids/c1/tasks"}},
	EnterRootfs{Path: "/r"},
	Join{Type: "network", Path: "/proc/1/ns/net", Flag: unix.CLONE_NEWNET},
	Enter{Flags: unix.CLONE_NEWNS | unix.CLONE_NEWPID},
	Unshare{Flags: unix.CLONE_NEWTIME | unix.CLONE_NEWCGROUP},
	IDMaps{UIDs: []specs.LinuxIDMapping{{HostID: 1, Size: 2}, {ContainerID: 3, HostID: 4, Size: 5}}, GIDs: []specs.LinuxIDMapping{{Size: 1}}},
	BecomeRoot{},
	TimeOffsets{Offsets: map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1, Nanosecs: 2}, "boottime": {Secs: -3}}},
	Fork{},
	ForkInto{},
	MakeCwd{Path: "/srv"},
	SessionKeyring{Name: "_ses.c1"},
	LoopbackUp{},
	Propagation{Flags: unix.MS_SLAVE | unix.MS_REC},
	AttachRootfs{Path: "/r"},
	Mount{Type: "tmpfs", Source: "shm", At: Place{Path: "/dev/shm"}, Params: []Param{{"mode", "1777"}, {Key: "noswap"}}, Attrs: Attrs{Set: unix.MOUNT_ATTR_NOSUID}, CopyUp: true, Idmap: &Idmap{}},
	Bind{Source: "/a", At: Place{Path: "/b"}, Recursive: true, Attrs: Attrs{RecSet: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE, PropagationRec: true}},
	Remount{At: Place{Path: "/b"}, Attrs: Attrs{Clear: unix.MOUNT_ATTR_RDONLY}},
	Device{At: Place{Path: "/dev/null"}, Type: "c", Major: 1, Minor: 3, Mode: 0o666},
	Symlink{Target: "/proc/self/fd", At: Place{Path: "/dev/fd"}},
	Sysctl{Path: []string{"net", "ipv4", "ip_forward"}, Value: "1\n"},
	Hooks{Kind: "prestart"},
	Masks{Paths: []string{"/proc/kcore", "/proc/keys"}},
	Readonly{Paths: []string{"/proc/sys"}},
	Terminal{Console: Place{Path: "/dev/console"}, Width: 80, Height: 24},
	Pivot{},
	ChangeRoot{},
	Stage{},
	RootAttrs{Attrs: Attrs{Set: unix.MOUNT_ATTR_RDONLY}},
	Hostname{Name: "a", Domain: "b"},
	Umask{Mask: 0o22},
	SecurityLabel{LSM: "apparmor", Label: "docker-default"},
	NoNewPrivs{},
	Scheduling{Scheduler: &specs.Scheduler{Policy: specs.SchedFIFO, Priority: 1}},
	Personality{Domain: 8},
	Affinity{CPUs: "0-3"},
	EnterTime{},
	Rlimits{Limits: []Rlimit{{Name: "RLIMIT_NOFILE", Soft: 1, Hard: unix.RLIM_INFINITY}}},
	Seccomp{Listener: true},
	Cwd{Path: "/"},
	BoundingSet{Keep: 1},
	Identity{UID: 1, GID: 2, Groups: []uint32{3}},
	Capabilities{Effective: 1, Permitted: 2, Inheritable: 3, Ambient: 4},
	FindProgram{Name: "sh", Path: "/bin"},
	Home{UID: 1},
	CloseFiles{First: 3},
	TakeAlong{},
	HoldRoot{Path: "/bundle/rootfs"},
	Unmount{At: Place{Path: "/data"}, ID: 7},
	CloneInto{},
	Gate{},
	DelegateCgroup{UID: 100000},
	NetDevice{Host: "eth0", Name: "eth1"},
	JoinResctrl{Dirs: []string{"/sys/fs/resctrl/gold"}},
	SubCgroup{Path: "init", UID: 100000},
	Execute{Args: []string{"sh", "-c", "echo \"hello\nworld\""}},
}

// stepTypes returns the names of this package's step types, from the source.
func stepTypes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	var out []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && hasSide(spec) {
				out = append(out, spec.Name.Name)
			}
			return true
		})
	}
	return out
}

// hasSide reports whether a struct embeds one of the two sides.
func hasSide(spec *ast.TypeSpec) bool {
	body, ok := spec.Type.(*ast.StructType)
	return ok && slices.ContainsFunc(body.Fields.List, func(f *ast.Field) bool {
		id, ok := f.Type.(*ast.Ident)
		return ok && len(f.Names) == 0 && (id.Name == "containerStep" || id.Name == "runtimeStep")
	})
}

func TestEveryStepPrints(t *testing.T) {
	var sampled []string
	texts := map[string]string{}
	for _, s := range samples {
		name := Name(s)
		sampled = append(sampled, name)
		for _, step := range []Step{s, reflect.Zero(reflect.TypeOf(s)).Interface().(Step)} {
			if sc, ok := step.(Scheduling); ok && sc.Scheduler == nil {
				continue // a Scheduling has one of three fields, never none
			}
			text := step.String()
			if text == "" || strings.ContainsAny(text, "\n\r") {
				t.Errorf("%s.String() = %q; want one line", name, text)
			}
		}
		if other := texts[s.String()]; other != "" {
			t.Errorf("%s and %s both print as %q", name, other, s)
		}
		texts[s.String()] = name
		if side := s.Side(); side != Runtime && side != Container {
			t.Errorf("%s.Side() = %q", name, side)
		}
	}
	for _, name := range stepTypes(t) {
		if !slices.Contains(sampled, name) {
			t.Errorf("%s has no line in samples", name)
		}
	}
}

func TestStepTexts(t *testing.T) {
	for _, tt := range []struct {
		step Step
		want string
	}{
		{samples[0], "start the stub as process 1 of a new pid namespace, born in the cgroup"},
		{IDMaps{UIDs: []specs.LinuxIDMapping{{HostID: 1, Size: 2}, {ContainerID: 3, HostID: 4, Size: 5}}, GIDs: []specs.LinuxIDMapping{{Size: 1}}}, "map uids 0:1:2,3:4:5 and gids 0:0:1"},
		{TimeOffsets{Offsets: map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1, Nanosecs: 2}, "boottime": {Secs: -3}}}, "set clock offsets: boottime -3.000000000 s, monotonic +1.000000002 s"},
		{Mount{Type: "tmpfs", Source: "shm", At: Place{Path: "/dev/shm"}, Params: []Param{{"mode", "1777"}, {Key: "noswap"}}, Attrs: Attrs{Set: unix.MOUNT_ATTR_NOSUID}, CopyUp: true, Idmap: &Idmap{}}, "mount tmpfs shm on /dev/shm (nosuid,mode=1777,noswap,tmpcopyup,idmap)"},
		{Mount{Type: "proc", Source: "proc", At: Place{Path: "/proc"}}, "mount proc on /proc"},
		{Bind{Source: "/a", At: Place{Path: "/b"}, Recursive: true, Attrs: Attrs{RecSet: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE, PropagationRec: true}}, "rbind /a on /b (rro,rprivate)"},
		{Remount{At: Place{Path: "/b"}, Attrs: Attrs{Clear: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODIRATIME, Propagation: unix.MS_UNBINDABLE}}, "make /b rw,diratime,unbindable"},
		{Device{At: Place{Path: "/dev/null"}, FromHost: "/dev/null"}, "bind the host's /dev/null on /dev/null"},
		{Device{At: Place{Path: "/p"}, Type: "p", Mode: 0o600, UID: 1, GID: 2}, "create device /p (p 0:0, mode 0600, owner 1:2)"},
		{Sysctl{Path: []string{"net", "ipv4", "ip_forward"}, Value: "1\n"}, `set sysctl net.ipv4.ip_forward = "1\n"`},
		{Terminal{Console: Place{Path: "/dev/console"}, Width: 80, Height: 24}, "open a pseudo-terminal of 80 columns, 24 rows and bind it on /dev/console"},
		{Scheduling{IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}}, "set I/O priority IOPRIO_CLASS_BE 3"},
		{Scheduling{MemoryPolicy: &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}}, "set memory policy MPOL_BIND, nodes 0"},
		{Rlimits{Limits: []Rlimit{{Name: "RLIMIT_NOFILE", Soft: 1, Hard: unix.RLIM_INFINITY}}}, "set limits RLIMIT_NOFILE 1:unlimited"},
		{Execute{Args: []string{"sh", "-c", "echo \"hello\nworld\""}}, `execute "sh" "-c" "echo \"hello\nworld\""`},
		{Propagation{Flags: unix.MS_SHARED}, "make every mount shared"},
		{Pivot{Move: true}, "move the root file system over / and change root"},
	} {
		if got := tt.step.String(); got != tt.want {
			t.Errorf("%s.String() = %q; want %q", Name(tt.step), got, tt.want)
		}
	}
}

func TestMarshalJSON(t *testing.T) {
	p := &Plan{Items: []Item{{"", Spawn{}}, {"/hostname", Hostname{Name: "a"}}}}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Step, Side, Field, Text string
		Args                    map[string]any
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1].Step != "Hostname" || got[1].Side != "container" || got[1].Field != "/hostname" || got[1].Text != "set hostname a" || got[1].Args["Name"] != "a" {
		t.Errorf("json.Marshal(plan) = %s", raw)
	}
	if _, ok := got[0].Args["Namespaces"]; !ok || got[0].Side != "runtime" {
		t.Errorf("json.Marshal(plan) = %s", raw)
	}
}
