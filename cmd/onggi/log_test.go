package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// stamp matches the time of a record in the form of RFC 3339.
var stamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)

var errMount = fmt.Errorf("create web: %w", &libcontainer.Failure{
	Field:   "/mounts/2",
	Step:    `mount "tmpfs" at "/dev"`,
	Syscall: `fsmount(5, 0, 0)`,
	Errno:   unix.EPERM,
	Hint:    "try it <again>",
})

func TestFailWritesOneRecordAndTellsPeople(t *testing.T) {
	const msg = `create web: /mounts/2: mount "tmpfs" at "/dev": fsmount(5, 0, 0): (try it <again>): operation not permitted`
	quoted := strings.ReplaceAll(msg, `"`, `\"`)
	for _, tt := range []struct {
		name, format string
		file         bool
		err          error
		log, stderr  string
	}{
		{
			"text", "text", false, errMount, "",
			`time="T" level=error msg="` + quoted + "\"\n",
		},
		{
			"failure as text in a file", "text", true, errMount,
			`time="T" level=error msg="` + quoted + `" errno=EPERM field=/mounts/2 hint="try it <again>" step="mount \"tmpfs\" at \"/dev\"" syscall="fsmount(5, 0, 0)"` + "\n",
			msg + "\n",
		},
		{
			"text in a file", "text", true, errors.New("no luck"),
			"time=\"T\" level=error msg=\"no luck\"\n", "no luck\n",
		},
		{
			"json", "json", false, errMount, "",
			`{"errno":"EPERM","field":"/mounts/2","hint":"try it <again>","level":"error","msg":"` + quoted + `",` +
				`"step":"mount \"tmpfs\" at \"/dev\"","syscall":"fsmount(5, 0, 0)","time":"T"}` + "\n",
		},
		{
			"json in a file", "json", true, errors.Join(errors.New("one"), errors.New("two\x1b[1m")),
			`{"level":"error","msg":"one; two?[1m","time":"T"}` + "\n", "one; two?[1m\n",
		},
		{
			"usage", "json", true, misuse("start", "start: <container-id> is missing"),
			`{"level":"error","msg":"start: <container-id> is missing","time":"T"}` + "\n",
			"start: <container-id> is missing\nusage: onggi start <container-id>; see onggi start --help\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stderr := tempFile(t)
			log, path := newLogger(stderr), ""
			if tt.file {
				path = filepath.Join(t.TempDir(), "log")
			}
			if err := log.open(path, tt.format, ""); err != nil {
				t.Fatal(err)
			}
			log.warn("not in a file unless asked for")
			log.debug("nowhere unless asked for")
			before := contents(t, stderr)
			log.fail(tt.err)
			if got := stamp.ReplaceAllString(strings.TrimPrefix(contents(t, stderr), before), "T"); got != tt.stderr {
				t.Errorf("standard error has\n%s; want\n%s", got, tt.stderr)
			}
			if !tt.file {
				return
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := stamp.ReplaceAllString(string(raw), "T"); got != tt.log {
				t.Errorf("the log has\n%s; want\n%s", got, tt.log)
			}
		})
	}
}

// Podman (libpod/oci_conmon_common.go) reads the whole log as one object;
// containerd (go-runc's getLastRuntimeError) parses the time as RFC 3339.
func TestLogIsOneObject(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got := run([]string{"--log", path, "--log-format=json", "start"}, files(t)); got != 1 {
		t.Fatalf("run = %d; want 1", got)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Level, Msg string
		Time       time.Time
	}
	if err := json.Unmarshal(raw, &record); err != nil || record.Level != "error" || record.Msg == "" || record.Time.IsZero() {
		t.Errorf("record %s: %+v, %v; want level error, a message and a time", raw, record, err)
	}
}

func TestLevels(t *testing.T) {
	for _, tt := range []struct {
		file  bool
		level string
		want  string
	}{
		{false, "", "warning error"},
		{true, "", "error"},
		{false, "error", "error"},
		{true, "warning", "warning error"},
		{true, "debug", "debug warning error"},
	} {
		out := tempFile(t)
		log, path := newLogger(out), ""
		if tt.file {
			path = out.Name()
			log.err = tempFile(t)
		}
		if err := log.open(path, "text", tt.level); err != nil {
			t.Fatal(err)
		}
		log.debug("x")
		log.warn("x")
		log.fail(errors.New("x"))
		var got []string
		for _, m := range regexp.MustCompile(`level=(\w+)`).FindAllStringSubmatch(contents(t, out), -1) {
			got = append(got, m[1])
		}
		if want := strings.Fields(tt.want); !reflect.DeepEqual(got, want) {
			t.Errorf("file %v, level %q: logged %q; want %q", tt.file, tt.level, got, want)
		}
	}
}

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		err    error
		want   int
		silent bool
	}{
		{nil, 0, true},
		{exitStatus(0), 0, true},
		{exitStatus(3), 3, true},
		{exitStatus(137), 137, true},
		{libcontainer.ErrNotExist, 1, false},
		{&cli.UsageError{Msg: "x"}, 1, false},
		{&execFailure{libcontainer.ErrNotExist}, 255, false},
	} {
		stderr := tempFile(t)
		if got := newLogger(stderr).exit(tt.err); got != tt.want {
			t.Errorf("exit(%v) = %d; want %d", tt.err, got, tt.want)
		}
		if got := contents(t, stderr); (got == "") != tt.silent {
			t.Errorf("exit(%v) wrote %q", tt.err, got)
		}
	}
}

func TestLogCannotBeOpened(t *testing.T) {
	for path, want := range map[string]string{
		"/no/such/dir/log":      "open the log: open /no/such/dir/log: no such file or directory",
		"file:/no/such/dir/log": "open the log: open /no/such/dir/log: no such file or directory",
	} {
		if err := newLogger(tempFile(t)).open(path, "text", ""); err == nil || err.Error() != want {
			t.Errorf("open(%q) = %v; want %s", path, err, want)
		}
	}
}

// tempFile returns a file that takes the place of standard error.
func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func files(t *testing.T) stdio { return stdio{tempFile(t), tempFile(t), tempFile(t)} }

func contents(t *testing.T, f *os.File) string {
	t.Helper()
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
