package engines

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// failure describes how to cause a failure with each engine. Docker and Podman mostly have the same flags.
type failure struct {
	name    string
	flags   string   // of docker run and podman run, separated by blanks; DIR is a directory with files
	podman  string   // instead of flags, where Podman's differ
	command []string // true, if there is none
	cri     object   // changes of a container's configuration
	pod     object   // changes of its pod's configuration
	quick   bool     // part of the run without LONG=1
	exec    bool     // the command is executed in a running container; the CRI has no exit status for that
	skip    string   // engines that cannot express it
	why     string   // a reason why onggi's statuses are not runc's
}

// security are changes of a container's security context.
func security(context object) object { return object{"linux": object{"security_context": context}} }

// bindOf are changes of a container's configuration: a bind mount.
func bindOf(source, destination string) object {
	return object{"mounts": []object{{"container_path": destination, "host_path": source}}}
}

// script runs a file of DIR.
func script(name, file string) failure {
	return failure{
		name: name, flags: "--volume=DIR/" + file + ":/program", command: []string{"/program"}, cri: bindOf("DIR/"+file, "/program"),
		why: startSays,
	}
}

// Reasons for differences from runc.
const (
	startSays = "onggi's `start` reports the failed execve(2), so the engine says that the container did not start. runc's `start` succeeds, and the container ends with 255."
	cannotRun = "onggi has the words `permission denied` too, from which every engine derives that the program cannot be executed: 126."
	killed    = "onggi's `start` reports the kill if it looks before the engine has collected the process; else the status is 159, as with runc."
	notFound  = "runc's line ends in `no such file or directory` for the mount point, from which engines derive that the program is missing: 127."
)

// failures is ordered by the failing part: the program, its surroundings, mounts, limits, security.
var failures = []failure{
	{name: "program not in $PATH", quick: true, command: []string{"nosuch"}},
	{name: "program not at its path", command: []string{"/nosuch"}},
	{name: "program in a directory that is a file", command: []string{"/etc/passwd/x"}},
	{name: "program is a directory", quick: true, command: []string{"/etc"}, why: cannotRun},
	{name: "program without execute permission", quick: true, command: []string{"/etc/notexec"}},
	{
		name: "program that the user may not execute", flags: "--volume=DIR/root-only:/program --user=1000", command: []string{"/program"},
		cri: object{"mounts": bindOf("DIR/root-only", "/program")["mounts"], "linux": object{"security_context": object{"run_as_user": object{"value": 1000}}}},
	},
	script("script whose interpreter is missing", "no-interpreter"),
	script("script with CR LF line ends", "crlf"),
	script("neither ELF nor script", "text"),
	script("program for another machine", "foreign"),
	script("program whose ELF interpreter is missing", "dynamic"),
	{name: "program is a link to itself", flags: "--volume=DIR/loop:/loop", command: []string{"/loop/x"}, cri: bindOf("DIR/loop", "/loop")},
	{name: "more arguments than the stack allows", flags: "--ulimit=stack=65536:65536", podman: "--ulimit=stack=65536:65536 --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024", command: []string{"echo", strings.Repeat("x", 100000), strings.Repeat("x", 100000)}, skip: "cri", why: startSays},
	{name: "variable longer than 128 KiB", skip: "docker podman", cri: object{"envs": []object{{"key": "LONG", "value": strings.Repeat("x", 140000)}}}, why: startSays},
	{name: "working directory is a file", flags: "--workdir=/etc/passwd", cri: object{"working_dir": "/etc/passwd"}},
	{
		name: "working directory that the user may not enter", flags: "--volume=DIR/closed:/closed --workdir=/closed --user=1000",
		cri: object{"mounts": bindOf("DIR/closed", "/closed")["mounts"], "working_dir": "/closed", "linux": object{"security_context": object{"run_as_user": object{"value": 1000}}}},
	},
	{name: "directory mounted on a file", quick: true, flags: "--volume=DIR/closed:/etc/notexec", cri: bindOf("DIR/closed", "/etc/notexec")},
	{name: "file mounted on a directory", flags: "--volume=DIR/text:/etc", cri: bindOf("DIR/text", "/etc")},
	{name: "mount below a file", flags: "--volume=DIR/closed:/etc/passwd/x", cri: bindOf("DIR/closed", "/etc/passwd/x")},
	{name: "mount in proc", flags: "--volume=DIR/closed:/proc/x", cri: bindOf("DIR/closed", "/proc/x"), why: notFound},
	{name: "mount source is missing", flags: "--mount=type=bind,src=DIR/nosuch,dst=/m", skip: "cri"},
	{name: "tmpfs with a bad size", flags: "--tmpfs=/t:size=x", skip: "cri"},
	{name: "sysctl that the kernel lacks", quick: true, flags: "--sysctl=net.ipv4.nosuch=1", pod: object{"linux": object{"cgroup_parent": "/kubepods", "sysctls": object{"net.ipv4.nosuch": "1"}}}},
	{name: "sysctl with a bad value", flags: "--sysctl=net.ipv4.ip_forward=x", pod: object{"linux": object{"cgroup_parent": "/kubepods", "sysctls": object{"net.ipv4.ip_forward": "x"}}}},
	{name: "limit above the hard limit", flags: "--ulimit=nofile=2000000000:2000000000", skip: "cri"},
	{name: "OOM score that may not be set", quick: true, flags: "--oom-score-adj=-500", skip: "cri"}, // criMachine disables it in the CRI plugin
	{name: "processors that are not there", flags: "--cpuset-cpus=77", cri: object{"linux": object{"resources": object{"cpuset_cpus": "77"}}}},
	{name: "quota below the kernel's least", flags: "--cpu-period=100000 --cpu-quota=1", cri: object{"linux": object{"resources": object{"cpu_quota": 1, "cpu_period": 100000}}}},
	{name: "memory limit that is too low", flags: "--memory=6m", podman: "--memory=128k", cri: object{"linux": object{"resources": object{"memory_limit_in_bytes": 131072}}}},
	{name: "process limit of one, and a shell that forks", flags: "--pids-limit=1", command: []string{"sh", "-c", "true; /bin/true; true"}, skip: "cri"},
	{name: "AppArmor profile that the kernel lacks", flags: "--security-opt=apparmor=nosuch", cri: security(object{"apparmor": object{"profile_type": 2, "localhost_ref": "nosuch"}})},
	{name: "seccomp profile with an unknown action", flags: "--security-opt=seccomp=DIR/unknown.json", cri: security(object{"seccomp": object{"profile_type": 2, "localhost_ref": "DIR/unknown.json"}})},
	{name: "seccomp profile that refuses execve", flags: "--security-opt=seccomp=DIR/refuse.json", cri: security(object{"seccomp": object{"profile_type": 2, "localhost_ref": "DIR/refuse.json"}}), why: startSays},
	{name: "seccomp profile that kills at execve", flags: "--security-opt=seccomp=DIR/kill.json", cri: security(object{"seccomp": object{"profile_type": 2, "localhost_ref": "DIR/kill.json"}}), why: killed},
	{name: "host name longer than 64 bytes", flags: "--hostname=" + strings.Repeat("x", 65), skip: "cri"},
	{name: "exec: program not in $PATH", exec: true, command: []string{"nosuch"}},
	{name: "exec: program not at its path", exec: true, command: []string{"/nosuch"}},
	{name: "exec: program is a directory", quick: true, exec: true, command: []string{"/etc"}, why: cannotRun},
	{name: "exec: program without execute permission", exec: true, command: []string{"/etc/notexec"}},
	{name: "exec: working directory is missing", exec: true, flags: "--workdir=/nosuch"},
	{name: "exec: working directory is a file", exec: true, flags: "--workdir=/etc/passwd"},
	{name: "exec: unknown user", exec: true, flags: "--user=nosuch"},
}

// failureFiles creates the files of DIR.
func failureFiles(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"no-interpreter": "#!/bin/nosuch\n", "crlf": "#!/bin/sh\r\ntrue\r\n", "text": "words\n", "root-only": "#!/bin/sh\n",
		"foreign":      "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xf3\x00\x01" + strings.Repeat("\x00", 100), // RISC-V
		"unknown.json": `{"defaultAction": "SCMP_ACT_NOSUCH"}`,
		"refuse.json":  `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO"}]}`,
		"kill.json":    `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS"}]}`,
	} {
		place(t, filepath.Join(dir, name), text)
	}
	for _, name := range []string{"no-interpreter", "crlf", "text", "foreign"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dynamic, err := os.ReadFile("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	if err := errorsOf(
		os.Chmod(filepath.Join(dir, "root-only"), 0o700),
		os.WriteFile(filepath.Join(dir, "dynamic"), dynamic, 0o755),
		os.Mkdir(filepath.Join(dir, "closed"), 0o700),
		os.Mkdir(filepath.Join(dir, "loop"), 0o755),
		os.Symlink("x", filepath.Join(dir, "loop/x")),
	); err != nil {
		t.Fatal(err)
	}
}

// statuses are the engines' results of a failure: an exit status, or the CRI's reason and exit code. An engine that cannot
// express the failure has none.
type statuses map[string]string

// outcome is a row of a sandbox.
type outcome struct {
	Failure string
	Seen    statuses
}

// asked are the engines, and how each is asked for a failure.
var asked = []struct {
	name  string
	start func() engine
	ask   func(c *client, f failure, dir, running, pod string) string
}{
	{"docker", docker, func(c *client, f failure, dir, running, _ string) string {
		return c.cliStatus(f, f.flags, dir, running)
	}},
	{"podman", podman, func(c *client, f failure, dir, running, _ string) string {
		flags := f.flags
		if f.podman != "" {
			flags = f.podman
		}
		return c.cliStatus(f, flags, dir, running)
	}},
	{"cri", cri, (*client).criStatus},
}

// TestStatuses lets each failure happen with each engine. Their users' scripts look at the exit statuses, which engines
// take from the runtime's words. Where the page has runc's, onggi's are the same, or the failure has a reason. LONG=1 tries
// all of them.
func TestStatuses(t *testing.T) {
	if len(env.kinds) > 1 {
		t.Skip("several runtimes: they are timed, not tested")
	}
	dir := filepath.Join(env.dir, "failures")
	failureFiles(t, dir)
	whole := *update || os.Getenv("LONG") != "" // minutes
	seen := make([]outcome, len(failures))
	for _, engine := range asked {
		t.Run(engine.name, func(t *testing.T) {
			e := engine.start()
			e.installed(t)
			c := e.start(t)
			running, pod := c.surroundings(engine.name)
			for i, f := range failures {
				if strings.Contains(f.skip, engine.name) || f.exec && engine.name == "cri" || !f.quick && !whole {
					continue
				}
				t.Run(f.name, func(t *testing.T) {
					own := c
					own.T = t
					if seen[i].Seen == nil {
						seen[i] = outcome{f.name, statuses{}}
					}
					got := engine.ask(&own, f, dir, running, pod)
					seen[i].Seen[engine.name] = got
					if want, known := runcsStatus(t, f.name, engine.name); env.kind == "onggi" && known && want != got && f.why == "" {
						t.Errorf("%s; with runc %s", got, want)
					}
				})
			}
		})
	}
	for i, f := range failures {
		if seen[i].Seen != nil && env.kind == "onggi" && whole && f.why != "" && f.why != killed && !seen[i].differs(t) {
			t.Errorf("%s: nothing differs from runc any more, and a reason says why", f.name)
		}
	}
	if whole {
		report.Lock()
		report.Outcomes = seen
		report.Unlock()
	}
}

// differs reports whether an engine has another status than with runc, as far as that is known.
func (o outcome) differs(t *testing.T) bool {
	t.Helper()
	for engine, got := range o.Seen {
		if want, known := runcsStatus(t, o.Failure, engine); !known || got != want {
			return true
		}
	}
	return false
}

// surroundings are a running container, or a pod.
func (c *client) surroundings(engine string) (running, pod string) {
	switch engine {
	case "docker":
		running = c.dockerDetached("--network=none", "sleep", "1000")
	case "podman":
		running = c.podmanDetached("", "sleep", "1000")
	default:
		id, file := c.pod(nil)
		pod = id + " " + file
	}
	return running, pod
}

// cliStatus is the exit status of a command line.
func (c *client) cliStatus(f failure, flags, dir, running string) string {
	flags = strings.ReplaceAll(flags, "DIR", dir)
	command := f.command
	if command == nil {
		command = []string{"true"}
	}
	var args []string
	if f.exec {
		args = append(append([]string{"exec"}, strings.Fields(flags)...), running)
	} else {
		args = append(append([]string{"run", "--rm", "--network=none"}, strings.Fields(flags)...), image)
	}
	out, code := c.try(append(args, command...)...)
	c.Logf("%d: %s", code, out)
	return fmt.Sprint(code)
}

// criStatus is the reason and the exit code that the CRI has for a container. That of a pod that is not made is "no pod".
func (c *client) criStatus(f failure, dir, _, pod string) string {
	id, file, _ := strings.Cut(pod, " ")
	if f.pod != nil {
		name := c.name()
		spec := object{"metadata": object{"name": name, "uid": name, "namespace": "default"}, "log_directory": env.dir}
		maps.Copy(spec, f.pod)
		own, code := c.try("runp", "--runtime="+env.kind, c.write(name, spec))
		if code != 0 {
			c.Log(own)
			return "no pod"
		}
		c.later("rmp", "--force", own)
		id, file = own, filepath.Join(env.dir, name+".json")
	}
	changes := object{}
	data, _ := json.Marshal(f.cri)
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(data), "DIR", dir)), &changes); err != nil {
		c.Fatal(err)
	}
	command := f.command
	if command == nil {
		command = []string{"true"}
	}
	container, code := c.try("create", "--no-pull", id, c.write(c.name(), c.containerSpec(changes, command...)), file)
	if code != 0 {
		c.Log(container)
		return "no container"
	}
	c.later("rm", "--force", container)
	out, _ := c.try("start", container)
	c.Log(out)
	c.until("CONTAINER_EXITED", "inspect", container)
	var inspected struct {
		Status struct {
			Reason   string
			ExitCode int
		}
	}
	if err := json.Unmarshal([]byte(c.ok("inspect", container)), &inspected); err != nil {
		c.Fatal(err)
	}
	return fmt.Sprintf("%s %d", inspected.Status.Reason, inspected.Status.ExitCode)
}

const statusPage = "statuses.md"

// runcsStatus returns the page's cell for runc.
func runcsStatus(t *testing.T, failure, engine string) (status string, known bool) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(env.dir, "pages", statusPage))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), statusBegin(report.System))
	table, _, _ = strings.Cut(table, tableEnd)
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) < 5 || cells[0] != failure || !strings.EqualFold(cells[1], engine) {
			continue
		}
		return cells[3], cells[3] != "not run"
	}
	return "", false
}

func statusBegin(system string) string { return fmt.Sprintf("<!-- statuses: %s -->\n", system) }

// statusKinds are the columns of the table.
var statusKinds = []string{"onggi", "runc", "crun"}

// statusTable is a row for each failure and engine, with a column for each runtime. Columns of runtimes that were not tried
// stay as they are in old.
func (t *table) statusTable(old string) string {
	heads := append([]string(nil), statusKinds...)
	cells := map[string]map[string]string{} // of a row, by runtime
	for line := range strings.Lines(old) {
		row := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(row) != 2+len(heads) || row[0] == "" {
			continue
		}
		if row[0] == "failure" {
			copy(heads, row[2:])
			continue
		}
		key := row[0] + " | " + row[1]
		cells[key] = map[string]string{}
		for i, kind := range statusKinds {
			cells[key][kind] = row[2+i]
		}
	}
	for _, c := range t.Columns {
		kind, _, _ := strings.Cut(c.Runtime, " ")
		heads[slices.Index(statusKinds, kind)] = c.Runtime
		for _, o := range c.Outcomes {
			for engine, status := range o.Seen {
				key := o.Failure + " | " + engineNames[engine]
				if cells[key] == nil {
					cells[key] = map[string]string{}
				}
				cells[key][kind] = status
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| failure | engine | %s |\n%s|\n", strings.Join(heads, " | "), strings.Repeat("|---", 2+len(heads)))
	for _, f := range failures {
		for _, engine := range asked {
			key := f.name + " | " + engineNames[engine.name]
			if cells[key] == nil {
				continue
			}
			b.WriteString("| " + key + " |")
			for _, kind := range statusKinds {
				b.WriteString(" " + cmp.Or(cells[key][kind], "not run") + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String() + statusReasons()
}

var engineNames = map[string]string{"docker": "Docker", "podman": "Podman", "cri": "CRI"}

// statusReasons lists the intended differences from runc.
func statusReasons() string {
	var text string
	for _, why := range []string{startSays, killed, cannotRun, notFound} {
		text += "- "
		for _, f := range failures {
			if f.why == why {
				text += f.name + "; "
			}
		}
		text = strings.TrimSuffix(text, "; ") + ": " + why + "\n"
	}
	return "\nonggi's differences from runc, with their reasons:\n\n" + text
}
