package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestExecOutputAndStatus(t *testing.T) {
	c := newContainer(t)
	c.up()
	r := c.exec(nil, "sh", "-c", "echo out; echo err >&2; exit 5")
	if r.out != "out\n" || r.err != "err\n" || r.code != 5 {
		t.Error(r)
	}
	if r := c.exec(nil, "sh", "-c", "kill -9 $$"); r.code != 137 {
		t.Errorf("exit status %d; want 137", r.code)
	}
}

func TestExecReadsStandardInput(t *testing.T) {
	c := newContainer(t)
	c.up()
	c.stdin = scratch(t)
	c.stdin.WriteString("line\n")
	c.stdin.Seek(0, 0)
	want(t, "output", c.execOutput(nil, "cat"), "line")
}

func TestExecIsInsideTheContainer(t *testing.T) {
	c := newContainer(t)
	pid := c.up()
	for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts", "user"} {
		link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		want(t, ns+" namespace", c.execOutput(nil, "readlink", "/proc/self/ns/"+ns), link)
	}
	want(t, "cgroups", c.execOutput(nil, "cat", "/proc/self/cgroup"), c.execOutput(nil, "cat", "/proc/1/cgroup"))
	want(t, "root", c.execOutput(nil, "ls", "/bin/busybox"), "/bin/busybox")
}

func TestExecLooksLikeTheContainersOwnProcess(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{10, 20}}
		s.Process.OOMScoreAdj = ptr(500)
	})
	c.up()
	own := c.execOutput(nil, "cat", "/proc/1/status")
	execed := c.execOutput(nil, "cat", "/proc/self/status")
	for _, name := range []string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn"} {
		want(t, name, field(execed, name), field(own, name))
	}
	want(t, "limits", c.execOutput(nil, "grep", "open files", "/proc/self/limits"), c.execOutput(nil, "grep", "open files", "/proc/1/limits"))
	want(t, "oom_score_adj", c.execOutput(nil, "cat", "/proc/self/oom_score_adj"), "500")
	want(t, "session", c.execOutput(nil, "sh", "-c", `read -r _ _ _ _ _ session _ < /proc/$$/stat; test $session = $$ && echo own`), "own")
}

func TestExecFlags(t *testing.T) {
	c := newContainer(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = false })
	c.up()
	tests := []struct {
		name  string
		flags []string
		line  string
		want  string
	}{
		{"no flags: the container's cwd", nil, "pwd", "/"},
		{"cwd", []string{"--cwd", "/tmp"}, "pwd", "/tmp"},
		{"env", []string{"--env", "A=1", "--env", "B=two words"}, `echo "$A $B $TERM"`, "1 two words xterm"},
		{"env replaces", []string{"-e", "TERM=dumb"}, `env | grep -c ^TERM; echo $TERM`, "1\ndumb"},
		{"user", []string{"--user", "1000"}, "id -u; id -g", "1000\n0"},
		{"user and group", []string{"-u", "1000:1001"}, "id -u; id -g", "1000\n1001"},
		{"additional groups", []string{"-u", "1000", "-g", "30", "-g", "40"}, "grep Groups: /proc/self/status | tr -d '\t '", "Groups:3040"},
		{"no new privileges", []string{"--no-new-privs"}, "grep NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"HOME of the user", []string{"-u", "1000"}, "echo $HOME", "/home/user"},
		{"HOME of nobody known", []string{"-u", "4242"}, "echo $HOME", "/"},
		{"capability added", []string{"--cap", "CAP_NET_ADMIN"}, "grep CapEff /proc/self/status | cut -f2", "0000000020001420"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want(t, "output", c.in(t).execOutput(test.flags, "sh", "-c", test.line), test.want)
		})
	}
}

func TestExecWithAProcessFile(t *testing.T) {
	c := newContainer(t)
	c.up()
	umask := ptr(uint32(0o27))
	if env.kind == "runc" {
		umask = ptr(uint32(0o22)) // runc ignores another umask
	}
	p := specs.Process{
		Args: []string{"sh", "-c", `echo "$A|$TERM|$(pwd)|$(id -u):$(id -g)"; umask; grep Cap.nd /proc/self/status | cut -f2`},
		Env:  []string{"A=b", "PATH=/bin"}, Cwd: "/tmp", User: specs.User{UID: 7, GID: 8, Umask: umask},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	c.write("process.json", string(data))
	for _, flag := range []string{"--process", "-p"} {
		r := c.must("exec", flag, filepath.Join(c.bundle, "process.json"), c.id)
		// The environment comes from the file alone. The container's environment is not merged into it.
		want(t, "output", r.out, fmt.Sprintf("b||/tmp|7:8\n%04o\n0000000000000020\n", *umask))
	}
}

func TestExecDetached(t *testing.T) {
	c := newContainer(t)
	c.up()
	pid := c.execDetached(nil, "sleep", "1234")
	eventually(t, "the command is executed", func() bool {
		cmdline, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		return string(cmdline) == "sleep\x001234\x00"
	})
	if pids := c.pids(); len(pids) != 2 {
		t.Errorf("ps = %v; want two processes", pids)
	}
}

func TestExecFailures(t *testing.T) {
	c := newContainer(t)
	c.up()
	c.write("rootfs/bin/no-interpreter", "#!/no/such/interpreter\n")
	c.write("rootfs/bin/not-executable", "")
	os.Chmod(filepath.Join(c.rootfs, "bin/no-interpreter"), 0o755)
	tests := []struct {
		name    string
		flags   []string
		command []string
		text    string
	}{
		// docker, podman and containerd derive the status 126 or 127 from these texts.
		{"not in PATH", nil, []string{"nonsense"}, "executable file not found in $PATH"},
		{"no such path", nil, []string{"/no/such/file"}, "no such file or directory"},
		{"not executable", nil, []string{"/bin/not-executable"}, "permission denied"},
		{"a directory", nil, []string{"/bin"}, aDirectory()},
		{"below a file", nil, []string{"/bin/busybox/x"}, "not a directory"},
		{"interpreter missing", nil, []string{"/bin/no-interpreter"}, "no such file or directory"},
		{"cwd missing", []string{"--cwd", "/no/such/dir"}, []string{"true"}, "no such file or directory"},
		{"cwd is a file", []string{"--cwd", "/bin/busybox"}, []string{"true"}, "not a directory"},
		{"cwd relative", []string{"--cwd", "tmp"}, []string{"true"}, "absolute"},
		{"user is a name", []string{"--user", "root"}, []string{"true"}, "root"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			switch test.name {
			case "interpreter missing":
				peerFails(t, "runc", "the exit status is 1")
			}
			refused(t, c.in(t).exec(test.flags, test.command...), 255, test.text)
		})
	}
}

func TestExecIgnoresABundleChangedAfterCreate(t *testing.T) {
	peerFails(t, "runc", "reads the bundle's config.json again")
	c := newContainer(t)
	c.up()
	c.write("config.json", `{"process": {"env": ["TERM=evil"]}}`)
	want(t, "TERM", c.execOutput(nil, "sh", "-c", "echo $TERM"), "xterm")
	os.Remove(filepath.Join(c.bundle, "config.json"))
	want(t, "TERM", c.execOutput(nil, "sh", "-c", "echo $TERM"), "xterm")
}

func TestExecIntoAUserNamespace(t *testing.T) {
	c := newContainer(t, userNamespace(100000))
	c.up()
	want(t, "ids", c.execOutput(nil, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map | tr -s ' '"), "0\n0\n 0 100000 65536")
	want(t, "ids", c.execOutput([]string{"-u", "1000:1000"}, "id", "-u"), "1000")
}

func TestExecWaitsForNothingButItsOwnProcess(t *testing.T) {
	peerFails(t, "runc", "waits until everybody has closed standard output")
	c := newContainer(t)
	c.up()
	// The background process holds standard output and outlives the exec.
	r := c.exec(nil, "sh", "-c", "sleep 1000 & echo done")
	if r.code != 0 || strings.TrimSpace(r.out) != "done" {
		t.Error(r)
	}
}

func TestExecPutsTheProcessIntoASubCgroup(t *testing.T) {
	needController(t, "pids")
	c := newContainer(t)
	c.up()
	sub := filepath.Join(c.cgroupDir("pids"), "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	flag := "pids:sub"
	if env.layout == "v2" {
		flag = "sub"
	}
	pid := c.execDetached([]string{"--cgroup", flag}, "sleep", "1000")
	data, _ := os.ReadFile(filepath.Join(sub, "cgroup.procs"))
	want(t, "processes of the sub-cgroup", strings.TrimSpace(string(data)), strconv.Itoa(pid))
	if r := c.exec([]string{"--cgroup", "no/such/cgroup"}, "true"); r.code != 255 {
		t.Error(r)
	}
}

// An exec can use the last process that pids.max allows. One more is refused. The last one is also refused if a process of
// the container could take control of the exec before it has entered the cgroup.
func TestExecTakesTheLastProcess(t *testing.T) {
	needController(t, "pids")
	peerFails(t, "runc", "needs five")
	peerFails(t, "crun", "goes beyond the limit")
	tracing := func(s *specs.Spec) {
		s.Process.Capabilities.Bounding = append(s.Process.Capabilities.Bounding, "CAP_SYS_PTRACE")
	}
	const refusal = "the limit on processes is reached"
	for _, tt := range []struct {
		name  string
		free  int64
		edits []edit
		text  string
	}{
		{"two", 2, nil, ""},
		{"one", 1, nil, ""},
		{"none", 0, nil, refusal},
		{"one, another user", 1, []edit{func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1000} }}, ""},
		{"one, a filter", 1, []edit{seccomp(specs.LinuxSyscall{Names: []string{"acct"}, Action: specs.ActErrno})}, ""},
		{"one, beside a process that may trace", 1, []edit{tracing}, refusal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newContainer(t, append(tt.edits, args("sleep", "1000"), resources(func(r *specs.LinuxResources) {
				r.Pids = &specs.LinuxPids{Limit: ptr(1 + tt.free)}
			}))...)
			c.up()
			if tt.text != "" {
				refused(t, c.exec(nil, "true"), 255, tt.text)
				return
			}
			want(t, "cgroups", c.execOutput(nil, "cat", "/proc/self/cgroup"), c.execOutput(nil, "cat", "/proc/1/cgroup"))
		})
	}
}
