package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestStateFormat(t *testing.T) {
	c := newContainer(t)
	c.spec.Annotations = map[string]string{"com.example.a": "1"}
	pid := c.up()
	text := c.must("state", c.id).out

	if !strings.HasPrefix(text, "{\n  \"ociVersion\"") || !strings.HasSuffix(text, "}") && !strings.HasSuffix(text, "}\n") {
		t.Errorf("not an indented object with ociVersion first:\n%s", text)
	}
	var got map[string]any
	decode(t, text, &got)
	created, err := time.Parse(time.RFC3339Nano, got["created"].(string))
	if err != nil || time.Since(created) > time.Minute || created.After(time.Now()) {
		t.Errorf("created = %v, %v", got["created"], err)
	}
	delete(got, "created")
	if version, _ := got["ociVersion"].(string); !strings.HasPrefix(version, "1.") {
		t.Errorf("ociVersion = %v", got["ociVersion"])
	}
	delete(got, "ociVersion")
	wanted := map[string]any{
		"id": c.id, "pid": float64(pid), "status": "running", "bundle": c.bundle, "rootfs": c.rootfs,
		"annotations": map[string]any{"com.example.a": "1"}, "owner": "",
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(wanted)
	want(t, "state", string(a), string(b))
}

func TestStateOfABundleGivenRelatively(t *testing.T) {
	c := newContainer(t, args("sleep", "1000"))
	c.must("create", "--bundle", ".", c.id)
	if got := c.state(); got.Bundle != c.bundle {
		t.Errorf("bundle = %q; want %q: the state is read from other directories", got.Bundle, c.bundle)
	}
	c.must("delete", "--force", c.id)
	c.must("create", c.id)
	if got := c.state(); got.Bundle != c.bundle {
		t.Errorf("bundle without --bundle = %q; want the working directory", got.Bundle)
	}
}

func TestListTable(t *testing.T) {
	c := newContainer(t)
	os.MkdirAll(c.root, 0o711) // list of a state root that does not exist is an error
	want(t, "header", strings.Join(strings.Fields(c.must("list").out), " "), "ID PID STATUS BUNDLE CREATED OWNER")
	pid := c.up()
	lines := strings.Split(strings.TrimSpace(c.must("list").out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines; want 2: %q", len(lines), lines)
	}
	fields := strings.Fields(lines[1])
	if len(fields) != 6 {
		t.Fatalf("fields = %q; want 6", fields)
	}
	want(t, "row", strings.Join(slices.Delete(slices.Clone(fields), 4, 5), " "),
		strings.Join([]string{c.id, strconv.Itoa(pid), "running", c.bundle, "root"}, " "))
	if _, err := time.Parse(time.RFC3339Nano, fields[4]); err != nil {
		t.Error(err)
	}
	// Columns are below their headers.
	if a, b := strings.Index(lines[0], "PID"), strings.Index(lines[1], " "+strconv.Itoa(pid)+" ")+1; a != b { // the id may have the digits too
		t.Errorf("PID in column %d, its value in column %d", a, b)
	}
}

func TestListJSON(t *testing.T) {
	c := newContainer(t)
	os.MkdirAll(c.root, 0o711)
	// go-runc decodes the output; an empty list is null.
	want(t, "empty list", strings.TrimSpace(c.must("list", "--format", "json").out), "[]")
	pid := c.up()
	var got []map[string]any
	decode(t, c.must("list", "--format", "json").out, &got)
	if len(got) != 1 || got[0]["id"] != c.id || got[0]["pid"] != float64(pid) || got[0]["status"] != "running" || got[0]["owner"] != "root" {
		t.Errorf("list = %v", got)
	}
	want(t, "list --quiet", c.must("list", "--quiet").out, c.id+"\n")
	want(t, "list -q", c.must("list", "-q").out, c.id+"\n")
	if r := c.verb("list", "--format", "xml"); r.code != 1 {
		t.Error(r)
	}
}

func TestPs(t *testing.T) {
	c := newContainer(t, sh("sleep 1001 & sleep 1002 & wait"))
	c.up()
	eventually(t, "three processes", func() bool { return len(c.pids()) == 3 })

	table := c.must("ps", c.id).out
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], "PID") || !strings.Contains(table, "sleep 1002") {
		t.Errorf("ps = %q", table)
	}
	table = c.must("ps", c.id, "-o", "pid,comm").out
	lines = strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 4 || strings.Join(strings.Fields(lines[0]), " ") != "PID COMMAND" {
		t.Errorf("ps -o pid,comm = %q", table)
	}
	if r := c.verb("ps", c.id, "-o", "comm"); r.code != 1 || !strings.Contains(r.err, "PID") {
		t.Errorf("ps without a PID column: %v", r)
	}
}

func TestVersionHasWhatEnginesParse(t *testing.T) {
	lines := strings.Split(newContainer(t).must("--version").out, "\n")
	// go-runc finds the first three lines by these prefixes; docker splits on "version".
	for i, pattern := range []string{`^\w+ version \S+$`, `^commit: \S+$`, `^spec: \d+\.\d+\.\d+\S*$`} {
		if len(lines) <= i || !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("line %d of --version does not match %s: %q", i+1, pattern, lines)
		}
	}
	if n := strings.Count(strings.Join(lines, "\n"), "version"); n != 1 {
		t.Errorf("the word version stands there %d times", n)
	}
	want(t, "-v", newContainer(t).must("-v").out, strings.Join(lines, "\n"))
}

func TestFeaturesSayWhatEnginesAsk(t *testing.T) {
	peerFails(t, "crun", "1.8 has no features")
	var got struct {
		OCIVersionMin, OCIVersionMax string
		Hooks, MountOptions          []string
		Linux                        struct {
			Namespaces, Capabilities []string
			Cgroup                   map[string]bool
			Seccomp                  struct {
				Enabled                    bool
				Actions, Operators, Archs_ []string
			}
			MountExtensions struct{ IDMap struct{ Enabled bool } }
		}
	}
	decode(t, newContainer(t).must("features").out, &got)
	for _, check := range []struct {
		what string
		list []string
		has  string
	}{
		{"hooks", got.Hooks, "startContainer"},
		{"mountOptions", got.MountOptions, "rro"},
		{"namespaces", got.Linux.Namespaces, "user"},
		{"capabilities", got.Linux.Capabilities, "CAP_SYS_ADMIN"},
		{"seccomp actions", got.Linux.Seccomp.Actions, "SCMP_ACT_NOTIFY"},
	} {
		if !slices.Contains(check.list, check.has) {
			t.Errorf("features: %s = %v; want %s in it", check.what, check.list, check.has)
		}
	}
	if !got.Linux.Cgroup["v1"] || !got.Linux.Cgroup["v2"] || !got.Linux.Seccomp.Enabled {
		t.Errorf("features: %+v", got)
	}
	if env.kind == "onggi" && !got.Linux.MountExtensions.IDMap.Enabled {
		t.Error("features: mountExtensions.idmap.enabled is false; containerd would not make pods with user namespaces")
	}
}

func TestSpec(t *testing.T) {
	c := newContainer(t)
	dir := filepath.Join(c.bundle, "new")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.must("spec", "--bundle", dir)
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, c.verb("spec", "--bundle", dir), 1, "exist")
	if after, _ := os.ReadFile(filepath.Join(dir, "config.json")); string(after) != string(data) {
		t.Error("spec overwrote config.json")
	}

	t.Run("runs", func(t *testing.T) {
		c := newContainer(t)
		decode(t, string(data), c.spec)
		c.edit(sh("id -u; hostname"))
		c.spec.Process.Terminal = false
		c.spec.Linux.CgroupsPath = c.cgroupsPath()
		c.edit()
		if name := strings.Split(c.output(), "\n"); name[0] != "0" || name[1] != c.spec.Hostname {
			t.Errorf("output = %q", name)
		}
	})
	t.Run("rootless", func(t *testing.T) {
		os.Remove(filepath.Join(dir, "config.json"))
		c.must("spec", "--rootless", "-b", dir)
		var spec struct {
			Linux struct {
				UIDMappings []any
				Namespaces  []struct{ Type string }
			}
		}
		data, _ := os.ReadFile(filepath.Join(dir, "config.json"))
		decode(t, string(data), &spec)
		user := slices.ContainsFunc(spec.Linux.Namespaces, func(ns struct{ Type string }) bool { return ns.Type == "user" })
		if !user || len(spec.Linux.UIDMappings) == 0 {
			t.Errorf("no user namespace in\n%s", data)
		}
	})
}

func TestHelp(t *testing.T) {
	c := newContainer(t)
	for _, line := range [][]string{{"--help"}, {"-h"}, {"help"}, {"create", "--help"}, {"exec", "-h"}, {"checkpoint", "--help"}} {
		if r := c.verb(line...); r.code != 0 || r.out == "" {
			t.Errorf("%v: %v", line, r)
		}
	}
}

// logRecord has the fields that containerd reads from the last line of --log with level error.
type logRecord struct{ Level, Msg, Time string }

func TestLogFile(t *testing.T) {
	t.Run("json", func(t *testing.T) {
		c := newContainer(t)
		path := filepath.Join(c.bundle, "log.json")
		c.global = []string{"--log", path, "--log-format", "json"}
		r := c.verb("state", "nobody")
		if r.code != 1 {
			t.Fatal(r)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Podman decodes the whole file as one object.
		var record logRecord
		decode(t, string(data), &record)
		if record.Level != "error" || !strings.Contains(record.Msg, "does not exist") {
			t.Errorf("record = %+v", record)
		}
		if _, err := time.Parse(time.RFC3339, record.Time); err != nil {
			t.Error(err)
		}
		if !strings.Contains(r.err, "does not exist") {
			t.Errorf("nothing on standard error: %v", r)
		}
	})
	t.Run("nothing is written when nothing is wrong", func(t *testing.T) {
		c := newContainer(t)
		path := filepath.Join(c.bundle, "log.json")
		c.global = []string{"--log", path, "--log-format", "json"}
		c.run()
		if data, _ := os.ReadFile(path); len(data) != 0 {
			t.Errorf("log = %q", data)
		}
	})
	t.Run("appends", func(t *testing.T) {
		c := newContainer(t)
		c.write("log", "first\n")
		c.global = []string{"--log", filepath.Join(c.bundle, "log")}
		c.verb("state", "nobody")
		data, _ := os.ReadFile(filepath.Join(c.bundle, "log"))
		if !strings.HasPrefix(string(data), "first\n") || !strings.Contains(string(data), "does not exist") {
			t.Errorf("log = %q", data)
		}
	})
	t.Run("unknown format", func(t *testing.T) {
		c := newContainer(t)
		c.global = []string{"--log-format", "xml"}
		if r := c.verb("list"); r.code != 1 || !strings.Contains(r.err, "log-format") {
			t.Error(r)
		}
	})
}

func TestWrongUsage(t *testing.T) {
	c := newContainer(t)
	for _, line := range [][]string{
		{"nonsense"},
		{"create"},
		{"create", "a", "b"},
		{"create", "--nonsense", "a"},
		{"start"},
		{"state"},
		{"kill"},
		{"delete"},
		{"--nonsense", "list"},
		{"pause"},
		{"resume"},
		{"ps"},
		{"exec"},
		{"update"},
	} {
		if line[0] == "nonsense" {
			peerFails(t, "runc", "prints its help and exits with 0 or 3")
		}
		status := 1
		switch line[0] {
		case "exec": // it reports its own failures as 255
			status = 255
		case "nonsense":
			status = 3
		}
		if r := c.verb(line...); r.code != 1 && r.code != status {
			t.Error(r)
		}
	}
}
