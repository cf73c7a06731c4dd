package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A stopped container still names its cgroup. Its verbs must not touch another container that runs in the cgroup now.
func TestOnlyItsOwnProcessesAreTheContainers(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "kills them where the pid namespace is shared")
	setups := map[string]func(t *testing.T) (stopped, running *container){
		"one cgroupsPath": func(t *testing.T) (stopped, running *container) {
			return inOneCgroup(t, nil, nil)
		},
		"one cgroupsPath, of pid namespaces that are shared": func(t *testing.T) (stopped, running *container) {
			return inOneCgroup(t, without("pid"), without("pid"))
		},
		"one cgroupsPath, and one state root": func(t *testing.T) (stopped, running *container) {
			stopped, running = inOneCgroup(t, without("pid"), nil)
			running.root = stopped.root
			return stopped, running
		},
		"one id in two state roots": func(t *testing.T) (stopped, running *container) {
			stopped, running = newContainer(t, without("pid")), newContainer(t)
			running.id = stopped.id
			for _, c := range []*container{stopped, running} {
				c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
			}
			end(stopped)
			return stopped, running
		},
		// The state of a create that was killed before it knew that the cgroup was its own.
		"create that was killed": func(t *testing.T) (stopped, running *container) {
			stopped, running = inOneCgroup(t, nil, nil)
			change(t, stopped, func(state map[string]any) { delete(state, "init") })
			return stopped, running
		},
	}
	for name, setup := range setups {
		t.Run(name, func(t *testing.T) {
			b, a := setup(t)
			pid := a.up()
			alive := func(r result) {
				t.Helper()
				if s := state(pid); s == 0 || s == 'Z' || a.status() != "running" {
					t.Fatalf("the other container's process has state %q\n%v", s, r)
				}
			}
			for _, line := range [][]string{
				{"kill", "--all", b.id, "9"},
				{"kill", "--all", b.id, "TERM"},
				{"kill", b.id, "9"},
				{"pause", b.id},
				{"update", "--pids-limit", "1", b.id},
				{"events", "--stats", b.id},
				{"resume", b.id},
			} {
				r := b.verb(line...)
				if r.code == 0 && line[1] != "--all" { // engines kill with --all after the end
					t.Errorf("success without a process: %v", r)
				}
				alive(r)
			}
			if r := b.verb("ps", "--format", "json", b.id); strings.Contains(r.out, strconv.Itoa(pid)) {
				t.Errorf("ps lists another container's process %d: %v", pid, r)
			}
			needFrozen(t, a, func() {
				b.verb("resume", b.id)
				want(t, "status of the other, paused", a.status(), "paused")
			})
			r := b.verb("delete", "--force", b.id)
			alive(r)
			if r.code != 0 || !strings.Contains(r.err, fmt.Sprintf("%d (sleep", pid)) {
				t.Errorf("no warning that names process %d: %v", pid, r)
			}
			if _, err := os.Stat(filepath.Join(b.root, b.id)); err == nil {
				t.Error("the record is still there")
			}
			a.must("delete", "--force", a.id)
			if left := a.cgroupDirs(); len(left) > 0 {
				t.Errorf("what was made for the one and taken over by the other is left: %v", left)
			}
		})
		t.Run(name+", delete without force", func(t *testing.T) {
			b, a := setup(t)
			pid := a.up()
			b.verb("delete", b.id)
			if s := state(pid); s == 0 || s == 'Z' || a.status() != "running" {
				t.Fatalf("the other container's process has state %q", s)
			}
			a.must("delete", "--force", a.id)
			b.must("delete", "--force", b.id)
		})
	}
}

// The control of the test above: processes that a container left in its own cgroup do end.
func TestItsOwnProcessesAreTheContainers(t *testing.T) {
	for _, line := range [][]string{{"delete"}, {"delete", "--force"}, {"kill", "--all"}} {
		t.Run(strings.Join(line, " "), func(t *testing.T) {
			c := newContainer(t, without("pid"), sh("sleep 1000 & sleep 1001 & exit"))
			c.create()
			c.start()
			c.stopped()
			if len(c.livePids()) == 0 || len(c.pids()) == 0 {
				t.Fatal("nothing has outlived the first process")
			}
			line = append(slices.Clone(line), c.id)
			if line[0] == "kill" {
				line = append(line, "9")
			}
			c.must(line...)
			eventually(t, "no process left", func() bool { return len(c.livePids()) == 0 })
			c.must("delete", "--force", c.id)
		})
	}
}

// The runtime uses an existing empty cgroup. delete leaves the cgroup, without processes or marks of the container.
func TestACgroupThatWasThere(t *testing.T) {
	needCgroupfs(t)
	c := newContainer(t, without("pid"), sh("sleep 1000 & sleep 1001 & exit"))
	for _, h := range hierarchies() {
		dir := filepath.Join(h.mountpoint, c.cgroup)
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		if h.mountpoint != "" && slices.Contains(h.controllers, "cpuset") {
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				data, err := os.ReadFile(filepath.Join(h.mountpoint, file))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, file), data, 0)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		defer removeCgroup(dir)
	}
	c.create()
	c.start()
	c.stopped()
	c.must("delete", c.id)
	if left := c.livePids(); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	for _, h := range hierarchies() {
		dir := filepath.Join(h.mountpoint, c.cgroup)
		var names [256]byte
		n, err := unix.Llistxattr(dir, names[:])
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(names[:n], []byte("onggi")) {
			t.Errorf("%s still has a mark: %q", dir, names[:n])
		}
	}
}

// At most one of several concurrent creates gets the cgroup. The others must not remove a part of it. A directory that a
// loser created disappears with the winner, or with the last loser.
func TestCreatesAtOneCgroup(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "lets two in")
	var all []*container
	for range 4 {
		c := newContainer(t, args("sleep", "1000"))
		if len(all) > 0 {
			c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = all[0].cgroup })
		}
		all = append(all, c)
	}
	for round := range amount(5, 20, 50) {
		var made [4]bool
		var creates sync.WaitGroup
		for i, c := range all {
			creates.Go(func() { made[i] = c.verb(c.withFlags("create")...).code == 0 })
		}
		creates.Wait()
		n := 0
		for i, c := range all {
			if !made[i] {
				continue
			}
			n++
			want(t, "status of the one", c.status(), "created")
			c.start()
			want(t, "status of the one", c.status(), "running")
			c.must("delete", "--force", c.id)
		}
		if n > 1 {
			t.Fatalf("round %d: %d containers are in one cgroup", round, n)
		}
		if left := all[0].cgroupDirs(); len(left) > 0 {
			t.Fatalf("round %d, with %d containers: left %v", round, n, left)
		}
	}
}

// delete without --force must not kill a running container whose state is missing.
func TestDeleteWithoutStateKillsNothing(t *testing.T) {
	peerFails(t, "runc", "says that it does not exist")
	c := newContainer(t)
	pid := c.up()
	file := filepath.Join(c.root, c.id, "state.json")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused(t, c.verb("delete", c.id), 1, fmt.Sprintf("%d (sleep", pid))
	if s := state(pid); s == 0 || s == 'Z' {
		t.Fatal("the process is dead")
	}
	c.must("delete", "--force", c.id)
	if s := state(pid); s != 0 && s != 'Z' {
		t.Error("the process lives")
	}
}

// If only the id is known, delete finds the container by the marks of its cgroup.
func TestDeleteForceWithoutAnyFile(t *testing.T) {
	needCgroupfs(t)
	peerFails(t, "runc", "says that it does not exist")
	for _, path := range []string{"", "/onggi-tests-nowhere/a/b"} {
		t.Run(path, func(t *testing.T) {
			c := newContainer(t, without("pid"), sh("sleep 1000 & sleep 1001"))
			if path != "" {
				c.cgroup = path
				c.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = path })
			}
			other := newContainer(t)
			other.root = c.root
			theirs := other.up()
			c.up()
			if len(c.livePids()) == 0 {
				t.Fatal("no process is in the cgroup")
			}
			for _, name := range []string{"state.json", "config.json"} {
				if err := os.WriteFile(filepath.Join(c.root, c.id, name), []byte("\x00{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			refused(t, c.verb("delete", c.id), 1, "")
			c.must("delete", "--force", c.id)
			if pids, dirs := c.livePids(), c.cgroupDirs(); len(pids)+len(dirs) > 0 {
				t.Errorf("left: processes %v, cgroups %v", pids, dirs)
			}
			if s := state(theirs); s == 0 || s == 'Z' {
				t.Error("another container's process is dead")
			}
		})
	}
	for _, h := range hierarchies() {
		if _, err := os.Stat(h.mountpoint + "/onggi-tests-nowhere"); err == nil {
			t.Errorf("left: %s/onggi-tests-nowhere", h.mountpoint)
			removeCgroup(h.mountpoint + "/onggi-tests-nowhere")
		}
	}
}

func inOneCgroup(t *testing.T, ofStopped, ofRunning edit) (stopped, running *container) {
	t.Helper()
	stopped, running = newContainer(t), newContainer(t)
	running.edit(func(s *specs.Spec) { s.Linux.CgroupsPath = stopped.cgroup })
	running.cgroup = stopped.cgroup
	for c, e := range map[*container]edit{stopped: ofStopped, running: ofRunning} {
		if e != nil {
			c.edit(e)
		}
	}
	end(stopped)
	return stopped, running
}

// end runs the container and kills it.
func end(c *container) {
	c.t.Helper()
	c.up()
	c.must("kill", c.id, "KILL")
	c.stopped()
}

// change edits the container's state file.
func change(t *testing.T, c *container, f func(map[string]any)) {
	t.Helper()
	file := filepath.Join(c.root, c.id, "state.json")
	data, err := os.ReadFile(file)
	record := map[string]any{}
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err == nil {
		f(record)
		data, err = json.Marshal(record)
	}
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// needFrozen calls f while the container is paused, if the layout can pause it.
func needFrozen(t *testing.T, c *container, f func()) {
	t.Helper()
	if !slices.ContainsFunc(hierarchies(), func(h hierarchy) bool { return h.unified || slices.Contains(h.controllers, "freezer") }) {
		return
	}
	c.must("pause", c.id)
	f()
	c.must("resume", c.id)
}

// delete --force succeeds if another delete has removed the container meanwhile.
func TestManyDeletesByForceAtOnce(t *testing.T) {
	peerFails(t, "runc", "some fail")
	c := newContainer(t)
	for range amount(5, 15, 45) {
		c.up()
		var all []*invocation
		for range 6 {
			all = append(all, c.begin("delete", "--force", c.id))
		}
		for _, i := range all {
			if r := i.end(); r.code != 0 || r.err != "" {
				t.Errorf("of six deletes at once: %v", r)
			}
		}
	}
}
