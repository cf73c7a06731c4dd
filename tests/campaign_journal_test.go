package tests

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// trial is one fault of the campaign.
type trial struct {
	Verb, Layout string
	At, Do       string // the fault.Point and the fault.Action
}

func (x trial) String() string { return x.At + ", " + x.Do }

// findings are the results that the campaign looks for. All but aborts are faults of onggi.
const (
	lie     = "false success"
	leak    = "leak"
	foreign = "foreign process killed"
	hang    = "hang"
	panics  = "panic"
	abort   = "abort"
)

// outcome is the result of a trial, and a line of the journal.
type outcome struct {
	Build string // of the runtime
	trial
	Hit    bool // the point was reached
	Status int
	Took   int               // milliseconds, without the preparation
	Found  map[string]string `json:",omitempty"` // by finding
}

// journal has the outcomes of earlier runs with the same build of the runtime. The file of JOURNAL keeps them: a run skips
// each trial that has an outcome. Several processes may append to one file.
type journal struct {
	build string
	path  string // "": the outcomes are kept in memory only
	done  map[trial]outcome
}

func openJournal(t testing.TB) *journal {
	t.Helper()
	j := &journal{build: build(t), path: os.Getenv("JOURNAL"), done: map[trial]outcome{}}
	j.read(t)
	return j
}

// build identifies the runtime: the commit and the digest of the binary, whose commit may have had local changes.
func build(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(env.runtime)
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(env.runtime, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, commit, _ := strings.Cut(string(version), "commit: ")
	commit, _, _ = strings.Cut(commit, "\n")
	return fmt.Sprintf("%s %.6x", cmp.Or(commit, "unknown"), sha256.Sum256(data))
}

// read reads the file again: other processes may have appended outcomes.
func (j *journal) read(t testing.TB) {
	t.Helper()
	if j.path == "" {
		return
	}
	data, err := os.ReadFile(j.path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		var o outcome
		if json.Unmarshal(s.Bytes(), &o) == nil && o.Build == j.build { // the last line may be half written
			j.done[o.trial] = o
		}
	}
}

func (j *journal) add(t testing.TB, o outcome) {
	t.Helper()
	o.Build = j.build
	j.done[o.trial] = o
	if j.path == "" {
		return
	}
	line, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil { // one write: appends do not mix
		t.Fatal(err)
	}
}

// row adds the outcomes of a verb up. all has the trials of this run's enumeration. Another run may have seen a few others,
// because the number of calls of the Go runtime varies.
func (j *journal) row(verb, layout string, all []trial) faultRow {
	r := faultRow{Verb: verb, Layout: layout, Build: j.build}
	points := map[string]bool{}
	for _, o := range j.done {
		if o.Verb != verb || o.Layout != layout {
			continue
		}
		r.Tried++
		points[o.At] = true
		r.Faults += oneIf(o.Hit)
		r.Errors += oneIf(o.Status != 0)
		for n, kind := range map[*int]string{&r.Lies: lie, &r.Leaks: leak, &r.Foreign: foreign, &r.Hangs: hang, &r.Panics: panics, &r.Aborts: abort} {
			_, found := o.Found[kind]
			*n += oneIf(found)
		}
	}
	r.Points = len(points)
	r.All = r.Tried + len(slices.DeleteFunc(slices.Clone(all), func(x trial) bool { _, ok := j.done[x]; return ok }))
	return r
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
