package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// Another container may control a volume and answer two lookups of one name differently. Each of these CVEs escaped by the
// second lookup: CVE-2021-30465, CVE-2024-45310, CVE-2025-52881. The runtime must look up each target once.
func TestAVolumeIsAskedOnceForEachTarget(t *testing.T) {
	peerFails(t, "runc", "asks three times and more")
	c := newContainer(t, args("cat", "/proc/self/mountinfo"))
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.write("source/file", "")
	c.edit(mount(
		specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/tmpfs", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}},
		specs.Mount{Destination: "/vol/ro", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}},
		specs.Mount{Destination: "/vol/bind", Type: "bind", Source: filepath.Join(c.bundle, "source"), Options: []string{"bind", "ro", "nosuid", "private"}},
		specs.Mount{Destination: "/vol/pts", Type: "devpts", Source: "devpts"},
	), func(s *specs.Spec) {
		s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/vol/masked")
		s.Linux.ReadonlyPaths = append(s.Linux.ReadonlyPaths, "/vol/readonly")
	})
	info := c.output()
	for _, name := range []string{"tmpfs", "ro", "bind", "pts", "masked", "readonly"} {
		if !strings.Contains(info, " /vol/"+name+" ") {
			t.Errorf("control: nothing is mounted on /vol/%s", name)
		}
		if n := v.seen(name); n != 1 {
			t.Errorf("/vol/%s was looked up %d times; want 1", name, n)
		}
	}
}

// The test tries all interleavings: the k-th lookup of a name returns a symlink.
func TestAVolumeThatChangesItsMind(t *testing.T) {
	c := newContainer(t, args("cat", "/proc/self/mountinfo"))
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.write("outside/file", "")
	c.edit(mount(
		specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}},
		specs.Mount{Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=76k"}},
	), func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/vol/m") })
	for _, to := range []string{"/proc", "/proc/self/attr", "/sys", "../../../../../../../../../../" + c.bundle + "/outside", "/proc/1/root/" + c.bundle + "/outside", "/"} {
		for k := 1; k <= 8; k++ {
			v.reset()
			v.link = func(_ string, n int) string {
				if n == k {
					return to
				}
				return ""
			}
			r := c.run()
			if r.code != 0 {
				continue // a refusal is a correct result
			}
			if why := hijacked(r.out); why != "" {
				t.Errorf("symlink to %s at lookup %d: %s\n%s", to, k, why, r.out)
			}
			if strings.Contains(mountinfo(), "/outside") {
				t.Fatalf("symlink to %s at lookup %d: mounted on the host", to, k)
			}
			if v.seen("d") < k && v.seen("m") < k {
				break // there were fewer lookups than k
			}
		}
	}
}

// hijacked returns a description of a wrong mount on /proc or /sys, or "".
func hijacked(mountinfo string) string {
	top := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(line, " - ")
		top[strings.Fields(left)[4]] = strings.Fields(right)[0]
	}
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/proc/self/attr": ""} {
		if top[path] != kind {
			return fmt.Sprintf("%q is mounted on %s; want %q", top[path], path, kind)
		}
	}
	return ""
}

// A volume that does not answer must block only its own container. A verb ends on SIGTERM, and delete removes the container.
func TestADeadVolumeHoldsNobodyUp(t *testing.T) {
	peerFails(t, "runc", "cannot be terminated")
	volumeAt := func(c *container) *volume {
		v := newVolume(c.t, filepath.Join(c.bundle, "volume"))
		if _, err := os.Stat(filepath.Join(v.dir, "sub")); err != nil {
			c.t.Fatal("control: the volume does not answer while it is alive:", err)
		}
		return v
	}
	for name, m := range map[string][]specs.Mount{
		"source":            {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"source below":      {{Destination: "/vol", Type: "bind", Source: "volume/sub", Options: []string{"rbind"}}},
		"target":            {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}, {Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs"}},
		"tmpcopyup":         {{Destination: "/vol", Type: "bind", Source: "volume", Options: []string{"rbind"}}, {Destination: "/vol", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}},
		"passwd":            {{Destination: "/etc", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"program":           {{Destination: "/bin", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
		"place of a device": {{Destination: "/dev", Type: "bind", Source: "volume", Options: []string{"rbind"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, args("sh", "-c", "true"))
			v := volumeAt(c)
			c.edit(mount(m...))
			v.dead.Store(true)
			endsWhenAsked(t, c, c.withFlags("create"))
			c.edit(userNamespace(100000))
			endsWhenAsked(t, c, c.withFlags("create"))
		})
	}
	for name, line := range map[string][]string{
		"working directory of exec": {"--cwd", "/vol/sub", "ID", "true"},
		"program of exec":           {"ID", "/vol/sub/program"},
		"passwd of exec":            {"--user", "1000", "--env", "HOME=", "ID", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t)
			v := volumeAt(c)
			c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
			os.Remove(filepath.Join(c.rootfs, "etc/passwd"))
			if err := os.Symlink("/vol/passwd", filepath.Join(c.rootfs, "etc/passwd")); err != nil {
				t.Fatal(err)
			}
			c.up()
			v.dead.Store(true)
			line[slices.Index(line, "ID")] = c.id
			endsWhenAsked(t, c, append([]string{"exec"}, line...))
		})
	}
	for name, m := range map[string]specs.Mount{
		"source of mounts add": {Destination: "/mnt", Type: "bind", Source: "volume/sub", Options: []string{"rbind"}},
		"target of mounts add": {Destination: "/vol/d", Type: "tmpfs", Source: "tmpfs"},
	} {
		t.Run(name, func(t *testing.T) {
			peersLack(t, "mounts")
			for _, edits := range [][]edit{nil, {userNamespace(100000)}} {
				c := newContainer(t, edits...)
				v := volumeAt(c)
				c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: v.dir, Options: []string{"rbind"}}))
				if err := os.Mkdir(filepath.Join(c.rootfs, "vol"), 0o755); err != nil {
					t.Fatal(err)
				}
				pid := c.up()
				before := mountsOf(t, pid)
				data, err := json.Marshal([]specs.Mount{{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}, m})
				if err != nil {
					t.Fatal(err)
				}
				c.write("mounts.json", string(data))
				v.dead.Store(true)
				r := askedToEnd(t, c, []string{"mounts", "add", c.id, filepath.Join(c.bundle, "mounts.json")})
				left := mountsOf(t, pid) != before
				if said := strings.Contains(r.err, "/tmp stays mounted"); r.code == 0 || left != said {
					t.Errorf("a mount is left: %v, and said to be: %v\n%v", left, said, r)
				}
				c.must("delete", "--force", c.id)
			}
		})
	}
	t.Run("the root file system itself", func(t *testing.T) {
		c := newContainer(t)
		v := volumeAt(c)
		c.edit(func(s *specs.Spec) { s.Root.Path = filepath.Join(v.dir, "sub") })
		v.dead.Store(true)
		endsWhenAsked(t, c, c.withFlags("create"))
	})
}

// endsWhenAsked starts a verb that may block, sends it SIGTERM after a second, and deletes the container.
func endsWhenAsked(t *testing.T, c *container, line []string) {
	t.Helper()
	askedToEnd(t, c, line)
	if r := c.verb("delete", "--force", c.id); r.code != 0 || r.took > slowly(12*time.Second) {
		t.Error(r)
	}
}

// askedToEnd starts a verb that may block, and sends it SIGTERM after a second.
func askedToEnd(t *testing.T, c *container, line []string) result {
	t.Helper()
	i := c.begin(line...)
	asked := time.AfterFunc(time.Second, func() { i.Process.Signal(unix.SIGTERM) })
	r := i.end()
	if !asked.Stop() && r.took > slowly(2500*time.Millisecond) {
		t.Errorf("ended %v after it was asked to: %v", r.took-time.Second, r)
	}
	t.Logf("%v, %s", r.took.Round(time.Millisecond), r.err)
	return r
}

// No signal ends a lookup that a file system has read and does not answer. A process cannot end before its threads. So the
// runtime must leave such a lookup to another process. The verb then ends, and nothing of the container is left.
func TestALookupWithoutAnEndKeepsNoVerb(t *testing.T) {
	peerFails(t, "runc", "cannot be ended")
	source := func(options ...string) edit {
		return mount(specs.Mount{Destination: "/vol", Type: "bind", Source: "volume/sub", Options: options})
	}
	many := func(s *specs.Spec) {
		for i := range 100 {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprintf("/vol/%d", i), Type: "bind", Source: fmt.Sprintf("volume/%d", i), Options: []string{"rbind"}})
		}
	}
	for name, edits := range map[string][]edit{
		"source":                 {source("rbind")},
		"source alone":           {source("bind", "private")},
		"source in userns":       {source("rbind"), userNamespace(100000)},
		"source alone in userns": {source("bind", "private"), userNamespace(100000)},
		"procfs":                 {mount(specs.Mount{Destination: "/proc", Type: "bind", Source: "volume/proc", Options: []string{"rbind"}})},
		"many":                   {many},
		"the root file system":   {func(s *specs.Spec) { s.Root.Path = "volume/sub" }},
		"a link to the root's":   {func(s *specs.Spec) { s.Root.Path = "link" }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, args("true"))
			v := newVolume(t, filepath.Join(c.bundle, "volume"))
			if err := os.Symlink("volume/sub", filepath.Join(c.bundle, "link")); err != nil {
				t.Fatal(err)
			}
			c.edit(edits...)
			endsWhileMuted(t, c, v, c.withFlags("create"))
			want(t, "cgroups left", fmt.Sprint(c.cgroupDirs()), "[]")
			if r := c.verb("state", c.id); r.code == 0 {
				t.Errorf("the container is left: %v", r)
			}
		})
	}
	t.Run("mounts add", func(t *testing.T) {
		peersLack(t, "mounts")
		for _, edits := range [][]edit{nil, {userNamespace(100000)}} {
			c := newContainer(t, edits...)
			v := newVolume(t, filepath.Join(c.bundle, "volume"))
			pid := c.up()
			before := mountsOf(t, pid)
			data, err := json.Marshal([]specs.Mount{{Destination: "/mnt", Type: "bind", Source: filepath.Join(v.dir, "sub"), Options: []string{"rbind"}}})
			if err != nil {
				t.Fatal(err)
			}
			c.write("mounts.json", string(data))
			endsWhileMuted(t, c, v, []string{"mounts", "add", c.id, filepath.Join(c.bundle, "mounts.json")})
			want(t, "mounts", mountsOf(t, pid), before)
			c.must("delete", "--force", c.id)
		}
	})
}

// endsWhileMuted starts a verb that looks up a name in a volume, and sends it SIGTERM. The volume reads the request and does
// not answer it.
func endsWhileMuted(t *testing.T, c *container, v *volume, line []string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(v.dir, "sub")); err != nil {
		t.Fatal("control: the volume does not answer while it is alive:", err)
	}
	before := children()
	v.mute.Store(true)
	taken := v.taken.Load()
	i := c.begin(line...)
	eventually(t, "a lookup is taken", func() bool { return v.taken.Load() > taken })
	time.Sleep(100 * time.Millisecond) // after its first signal, the waiting process ignores all others
	asked := time.Now()
	i.Process.Signal(unix.SIGTERM)
	if r := i.end(); r.code == 0 || time.Since(asked) > slowly(time.Second) {
		t.Errorf("ended %v after it was asked to: %v", time.Since(asked), r)
	}
	stuck := slices.DeleteFunc(children(), func(pid int) bool { return slices.Contains(before, pid) })
	if len(stuck) == 0 {
		t.Error("control: no process waits for the volume, so the volume held nobody up")
	}
	unix.Unmount(v.dir, unix.MNT_FORCE|unix.MNT_DETACH)
	for _, pid := range stuck {
		awaitExit(pid)
	}
}

// TestAProgramReapsALookupWithoutAnEnd: a program that uses the library has to end nothing itself. The process of the lookup
// becomes a zombie when the file system is gone at last, and the library reaps it.
func TestAProgramReapsALookupWithoutAnEnd(t *testing.T) {
	peerFails(t, "runc", "is tested as a program only")
	peerFails(t, "crun", "is tested as a program only")
	c := newContainer(t, args("true"))
	v := newVolume(t, filepath.Join(c.bundle, "volume"))
	c.edit(mount(specs.Mount{Destination: "/vol", Type: "bind", Source: filepath.Join(v.dir, "sub"), Options: []string{"rbind"}}))
	r, err := libcontainer.New(libcontainer.Options{Root: c.root})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(v.dir, "sub")); err != nil { // also waits for the answer to FUSE_INIT
		t.Fatal("control: the volume does not answer while it is alive:", err)
	}
	before := children()
	v.mute.Store(true)
	taken := v.taken.Load()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := r.Create(ctx, c.id, libcontainer.CreateOptions{Bundle: c.bundle})
		failed <- err
	}()
	eventually(t, "a lookup is taken", func() bool { return v.taken.Load() > taken })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Create = %v; want %v", err, context.Canceled)
	}
	stuck := slices.DeleteFunc(children(), func(pid int) bool { return slices.Contains(before, pid) })
	if len(stuck) == 0 {
		t.Error("control: no process waits for the volume")
	}
	unix.Unmount(v.dir, unix.MNT_FORCE|unix.MNT_DETACH)
	for _, pid := range stuck {
		eventually(t, fmt.Sprintf("process %d is reaped", pid), func() bool { return state(pid) == 0 })
	}
}
