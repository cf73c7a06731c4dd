package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onggi-dev/onggi/libcontainer"
)

func states() []libcontainer.State {
	return []libcontainer.State{
		{
			OCIVersion: "1.3.0", ID: "web", InitProcessPid: 4711, Status: "running", Bundle: "/srv/web", Rootfs: "/srv/web/rootfs",
			Created: time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC), Owner: "root",
			Annotations: map[string]string{"a": "<b>"},
		},
		{ID: "a-much-longer-id", Status: "stopped", Bundle: "/b", Created: time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC), Owner: "nobody"},
	}
}

// The spacing is that of runc: columns of at least 12 characters, with three spaces between them.
func TestPrintTable(t *testing.T) {
	for _, tt := range []struct {
		states []libcontainer.State
		want   string
	}{
		{nil, "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"},
		{states(), `ID                 PID         STATUS      BUNDLE      CREATED                       OWNER
web                4711        running     /srv/web    2026-11-22T01:02:03.456789Z   root
a-much-longer-id   0           stopped     /b          2026-11-22T01:02:03Z          nobody
`},
	} {
		var b strings.Builder
		if err := printTable(&b, tt.states); err != nil || b.String() != tt.want {
			t.Errorf("printTable wrote, and returned %v:\n%s; want:\n%s", err, b.String(), tt.want)
		}
	}
}

func TestPrintStates(t *testing.T) {
	for _, tt := range []struct {
		states []libcontainer.State
		want   string
	}{
		{nil, "[]\n"},
		{states(), `[{"ociVersion":"1.3.0","id":"web","pid":4711,"status":"running","bundle":"/srv/web","rootfs":"/srv/web/rootfs",` +
			`"created":"2026-11-22T01:02:03.456789Z","annotations":{"a":"\u003cb\u003e"},"owner":"root"},` +
			`{"ociVersion":"","id":"a-much-longer-id","pid":0,"status":"stopped","bundle":"/b","rootfs":"",` +
			`"created":"2026-11-22T01:02:03Z","owner":"nobody"}]` + "\n"},
	} {
		var b strings.Builder
		if err := printStates(&b, tt.states); err != nil || b.String() != tt.want {
			t.Errorf("printStates wrote, and returned %v:\n%s; want:\n%s", err, b.String(), tt.want)
		}
	}
}

func TestPrintIDs(t *testing.T) {
	var b strings.Builder
	if err := printIDs(&b, []string{"web", "a-much-longer-id"}); err != nil || b.String() != "web\na-much-longer-id\n" {
		t.Errorf("printIDs wrote %q, %v; want two lines", b.String(), err)
	}
}

func TestStateIsIndented(t *testing.T) {
	const want = `{
  "ociVersion": "1.3.0",
  "id": "web",
  "pid": 4711,
  "status": "running",
  "bundle": "/srv/web",
  "rootfs": "/srv/web/rootfs",
  "created": "2026-11-22T01:02:03.456789Z",
  "annotations": {
    "a": "\u003cb\u003e"
  },
  "owner": "root"
}
`
	var b strings.Builder
	if err := printJSON(&b, states()[0], "  "); err != nil || b.String() != want {
		t.Errorf("printJSON wrote %s, %v; want %s", b.String(), err, want)
	}
}

// Scripts act on the answer "no containers". A state root that cannot be read must not give the same answer.
func TestListOfARootThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"list", "-q"}, {"list", "-f", "json"}} {
		std := files(t)
		if got := run(append([]string{"--root", file}, args...), std); got != 1 {
			t.Errorf("onggi %v with a file for a root = %d; want 1", args, got)
		}
		if got := contents(t, std.out); got != "" {
			t.Errorf("onggi %v printed %q", args, got)
		}
		if got := contents(t, std.err); !strings.Contains(got, "the state root cannot be used: open "+file) || !strings.Contains(got, "not a directory") {
			t.Errorf("onggi %v: %q", args, got)
		}
	}
}

// A bundle's path and a user's name may have any characters.
func TestTablesMoveNoCursor(t *testing.T) {
	bad := "\x1b]0;evil\a\t\n\u009b2J\u202e\xff"
	var list, top, ps, ids strings.Builder
	all := []libcontainer.State{{ID: bad, Bundle: "/b" + bad, Owner: bad}}
	err := errors.Join(printTable(&list, all), printIDs(&ids, []string{bad}), printUsage(&top, []usage{{id: bad}}),
		filterTable(&ps, "PID CMD\n1 "+bad[:strings.Index(bad, "\n")]+"\u009b\t한국\n", []int{1}))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"list": list.String(), "list -q": ids.String(), "top": top.String(), "ps": strings.ReplaceAll(ps.String(), "\t", "")} {
		if strings.ContainsAny(text, "\x1b\a\t\u009b\u202e") || !utf8.ValidString(text) || strings.Count(text, "\n") > 2 {
			t.Errorf("%s prints %q", name, text)
		}
	}
	if !strings.HasSuffix(ps.String(), "\t한국\n") {
		t.Errorf("ps prints %q; want the tab and the name", ps.String())
	}
}
