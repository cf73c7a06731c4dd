package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// traceEvent is an event of Chrome's trace event format.
type traceEvent struct {
	Phase    string            `json:"ph"`
	Name     string            `json:"name"`
	Category string            `json:"cat"`
	Process  int               `json:"pid"`
	Thread   int               `json:"tid"`
	Begin    float64           `json:"ts"`
	Length   float64           `json:"dur"`
	Args     map[string]string `json:"args"`
}

// in reports whether the event is within another one, with the precision of the file, a nanosecond.
func (e traceEvent) in(other traceEvent) bool {
	const rounding = .001
	return e.Begin >= other.Begin-rounding && e.Begin+e.Length <= other.Begin+other.Length+rounding
}

type trace []traceEvent

// traced runs verbs with a trace and decodes it.
func traced(t *testing.T, c *container, what func()) trace {
	t.Helper()
	if env.kind != "onggi" {
		t.Skip("the runtime has no --trace")
	}
	file := filepath.Join(c.bundle, "trace.json")
	before := c.global
	c.global = append([]string{"--trace", file}, before...)
	what()
	c.global = before
	if fi, err := os.Stat(file); err != nil || fi.Mode() != 0o600 {
		t.Errorf("the trace: %v, %v; want a file of mode 0600", fi, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Events trace `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatalf("the trace is no JSON: %v\n%s", err, text)
	}
	f.Events.check(t)
	svg := c.must("trace-view", file).out
	if !strings.HasPrefix(svg, "<svg ") || !strings.HasSuffix(svg, "</svg>\n") {
		t.Errorf("trace-view prints %.80q", svg)
	}
	return f.Events
}

// check checks that spans nest on their thread, and that every call is in a batch.
func (tr trace) check(t *testing.T) {
	t.Helper()
	open := map[[2]int]trace{}
	for _, e := range tr {
		if e.Phase != "X" {
			continue
		}
		if e.Begin < 0 || e.Length < 0 {
			t.Errorf("out of time: %+v", e)
		}
		thread := [2]int{e.Process, e.Thread}
		stack := open[thread]
		for len(stack) > 0 && stack[len(stack)-1].Begin+stack[len(stack)-1].Length <= e.Begin+.0005 && !e.in(stack[len(stack)-1]) {
			stack = stack[:len(stack)-1]
		}
		if len(stack) > 0 && !e.in(stack[len(stack)-1]) {
			t.Errorf("%+v overlaps %+v", e, stack[len(stack)-1])
		}
		if e.Category == "call" && (len(stack) == 0 || stack[0].Category != "batch") {
			t.Errorf("in no batch: %+v", e)
		}
		open[thread] = append(stack, e)
	}
}

// find returns the first event of a category with text in its name.
func (tr trace) find(t *testing.T, category, text string) traceEvent {
	t.Helper()
	for _, e := range tr {
		if e.Category == category && strings.Contains(e.Name, text) {
			return e
		}
	}
	t.Fatalf("the trace has no %s %q", category, text)
	return traceEvent{}
}

func TestTraceOfRun(t *testing.T) {
	c := newContainer(t, args("true"), hooks("prestart", hook("true")))
	tr := traced(t, c, func() { c.must(c.withFlags("run")...) })
	verb := tr.find(t, "verb", "run")
	for _, want := range [][2]string{
		{"work", "read the configuration"},
		{"work", "save the state"},
		{"work", "make the cgroup"},
		{"step", "mount proc on /proc"},
		{"wait", "/bin/sh"},
		{"wait", "execve of the program"},
		{"wait", "wait for the container"},
		{"work", "remove the cgroup"},
		{"batch", "calls, not timed"},
		{"call", "pivot_root("},
	} {
		if e := tr.find(t, want[0], want[1]); !e.in(verb) {
			t.Errorf("%+v is not in %+v", e, verb)
		}
	}
	if start := tr.find(t, "work", "start of the process"); start.Begin != 0 || start.Length <= 0 {
		t.Errorf("start of the process: %+v", start)
	}
	want(t, "field of the mount", tr.find(t, "step", "mount proc on /proc").Args["field"], "/mounts/0")
	want(t, "result of the call", tr.find(t, "call", "pivot_root(").Args["result"], "0")
	if last := tr.find(t, "batch", "calls, not timed").Args["calls"]; !strings.Contains(last, "execve(") {
		t.Errorf("calls of the last batch: %s", last)
	}
}

func TestTraceOfExec(t *testing.T) {
	c := newContainer(t)
	c.up()
	tr := traced(t, c, func() { c.must("exec", c.id, "true") })
	tr.find(t, "work", "load the state")
	tr.find(t, "call", "setns(<the container's first process>")
	tr.find(t, "wait", "execve of the program")
}

func TestTraceOfTheOtherVerbs(t *testing.T) {
	c := newContainer(t, args("sleep", "1000"))
	for _, verb := range [][]string{{"create", c.id}, {"start", c.id}, {"state", c.id}, {"list"}, {"pause", c.id}, {"resume", c.id}, {"kill", c.id, "KILL"}, {"delete", c.id}} {
		t.Run(verb[0], func(t *testing.T) {
			c := c.in(t)
			if verb[0] == "delete" {
				c.stopped()
			}
			traced(t, c, func() { c.must(verb...) }).find(t, "verb", verb[0])
		})
	}
}

// A trace must be complete after a failure, because users need it most then.
func TestTraceOfAFailure(t *testing.T) {
	c := newContainer(t, mount(specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"nonsense=1"}}))
	tr := traced(t, c, func() {
		if r := c.run(); r.code != 1 {
			t.Error(r)
		}
	})
	verb := tr.find(t, "verb", "run")
	if e := verb.Args["error"]; !strings.Contains(e, `FSCONFIG_SET_STRING, "nonsense"`) {
		t.Errorf("the command's error: %q", e)
	}
	call := tr.find(t, "call", `FSCONFIG_SET_STRING, "nonsense"`)
	want(t, "result of the call", call.Args["result"], "-1 EINVAL (invalid argument)")
	if undo := tr.find(t, "work", "undo what was done"); undo.Begin < call.Begin+call.Length || !undo.in(verb) {
		t.Errorf("undone: %+v, after %+v", undo, call)
	}
}

// The environment may have secrets, and users publish traces: a trace must not contain it.
func TestTraceHasNoEnvironment(t *testing.T) {
	c := newContainer(t, args("true"), func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "TOKEN=hush") })
	traced(t, c, func() { c.must(c.withFlags("run")...) })
	text, err := os.ReadFile(filepath.Join(c.bundle, "trace.json"))
	if err != nil || strings.Contains(string(text), "hush") {
		t.Errorf("the trace has the environment (%v)", err)
	}
}

func TestTraceThatCannotBeWritten(t *testing.T) {
	if env.kind != "onggi" {
		t.Skip("the runtime has no --trace")
	}
	c := newContainer(t, args("true"))
	c.global = []string{"--trace", "/nonexistent/trace.json"}
	r := c.run()
	if r.code != 1 || !strings.Contains(r.err, "flag --trace: open /nonexistent/trace.json: no such file or directory") {
		t.Error(r)
	}
	if _, err := os.Stat(c.root); !os.IsNotExist(err) {
		t.Errorf("the state root: %v; want none", err)
	}
}
