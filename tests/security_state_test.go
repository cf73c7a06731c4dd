package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk, a crash or a bug may leave a damaged state. No verb panics, list shows the other containers, and delete
// --force still removes processes, cgroup and directory.
func TestACorruptStateCanBeDeleted(t *testing.T) {
	peerFails(t, "runc", "panics")
	set := func(field string, value any) func(map[string]any) {
		return func(state map[string]any) { state[field] = value }
	}
	mutations := map[string]func(map[string]any){
		"empty": nil, "truncated": nil, "garbage": nil, "null": nil, "a directory": nil, "a FIFO": nil, "missing": nil,
		"without id":             func(state map[string]any) { delete(state, "id") },
		"id of another":          set("id", "other"),
		"id that leads out":      set("id", "../../other"),
		"init is null":           set("init", nil),
		"init is a string":       set("init", "1"),
		"negative pid":           set("init", map[string]any{"pid": -1, "bootId": "x", "startTime": 1}),
		"pid of the kernel":      set("init", map[string]any{"pid": 2, "bootId": "x", "startTime": 1}),
		"cgroup is null":         set("cgroup", nil),
		"cgroup leads out":       set("cgroup", map[string]any{"manager": "cgroupfs", "unified": map[string]any{"mountpoint": "/sys/fs/cgroup", "path": "/../../../tmp"}}),
		"cgroup is the root":     set("cgroup", map[string]any{"manager": "cgroupfs", "unified": map[string]any{"mountpoint": "/sys/fs/cgroup/unified", "path": "/"}}),
		"intents are numbers":    set("intents", []int{1, 2}),
		"intent of another kind": set("intents", []map[string]string{{"kind": "explosion", "name": "/tmp"}}),
		"created is no time":     set("created", "yesterday"),
		"version of the future":  set("ociVersion", 99),
	}
	good := newContainer(t)
	good.up()
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			bad := newContainer(t)
			bad.root = good.root
			bad.up()
			file := filepath.Join(bad.root, bad.id, "state.json")
			corrupt(t, file, name, mutate)

			for _, line := range [][]string{{"state", bad.id}, {"kill", bad.id, "TERM"}, {"exec", bad.id, "true"}, {"ps", bad.id}, {"pause", bad.id}, {"start", bad.id}, {"list"}, {"list", "--format", "json"}} {
				if r := bad.verb(line...); strings.Contains(r.err, "panic") || strings.Contains(r.err, "internal error") || r.code < 0 {
					t.Errorf("not an orderly end: %v", r)
				}
			}
			in := good.in(t)
			if r := in.verb("list", "--quiet"); !strings.Contains(r.out, good.id+"\n") {
				t.Errorf("list does not show the other container: %v", r)
			}
			bad.must("delete", "--force", bad.id)
			if pids, cgroups := bad.livePids(), bad.cgroupDirs(); len(pids)+len(cgroups) > 0 {
				t.Errorf("left: processes %v, cgroups %v", pids, cgroups)
			}
			want(t, "status of the other one", in.status(), "running")
		})
	}
}

func corrupt(t *testing.T, file, name string, mutate func(map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case mutate != nil:
		state := map[string]any{}
		if err = json.Unmarshal(data, &state); err == nil {
			mutate(state)
			data, err = json.Marshal(state)
		}
	case name == "empty":
		data = nil
	case name == "truncated":
		data = data[:len(data)/2]
	case name == "garbage":
		data = []byte("\x00\xff{{{")
	case name == "null":
		data = []byte("null")
	case name == "missing":
		return
	case name == "a directory":
		err = os.Mkdir(file, 0o700)
	case name == "a FIFO":
		err = unix.Mkfifo(file, 0o600)
	}
	if _, there := os.Lstat(file); err == nil && there != nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// In a state root that other users can write to, a user could replace a container's directory.
func TestAStateRootOfOthersIsRefused(t *testing.T) {
	peerFails(t, "runc", "uses it")
	peerFails(t, "crun", "uses it")
	c := newContainer(t)
	c.up()
	mode := func(mode uint32) {
		t.Helper()
		if err := unix.Chmod(c.root, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Chmod(c.root, 0o700) })
	mode(0o777)
	for _, line := range [][]string{{"list"}, {"state", c.id}, {"kill", c.id, "KILL"}, {"delete", "--force", c.id}, {"create", "--bundle", c.bundle, c.id + "-2"}} {
		if r := c.verb(line...); r.code != 1 || !strings.Contains(r.err, c.root+" has mode 0777: others may write to it") {
			t.Errorf("%v; want a refusal", r)
		}
	}
	mode(0o1777)
	want(t, "status", c.status(), "running")
}
