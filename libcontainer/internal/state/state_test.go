package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

func record(id string) *Record {
	return &Record{
		OCIVersion: "1.3.0", ID: id, Bundle: "/b", Rootfs: "/b/rootfs",
		Created:      time.Date(2026, 11, 22, 1, 2, 3, 4, time.UTC),
		Annotations:  map[string]string{"a null": "a \"null\" \\"},
		Init:         proc.Identity{Pid: 42, PidfdInode: 7, BootID: "boot"},
		Creating:     proc.Identity{Pid: 43, StartTime: 8, BootID: "boot"},
		NotifySocket: "/run/systemd/notify",
		Resctrl:      []string{"/sys/fs/resctrl/gold", "/sys/fs/resctrl/gold/mon_groups/c"},
		Cgroup:       Cgroup{Manager: "cgroupfs", V1: []CgroupPath{{Controllers: []string{"cpu"}, Mountpoint: "/sys/fs/cgroup/cpu", Path: "/x"}}, Unified: &CgroupPath{Mountpoint: "/sys/fs/cgroup/unified", Root: "/r", Path: "/x"}},
		Intents:      []Intent{{CgroupDir, "/sys/fs/cgroup/cpu/x"}, {Scope, "onggi-x.scope"}, {PivotDir, "/b/rootfs/tmp"}},
	}
}

func create(t *testing.T, s Store, id string) *Dir {
	t.Helper()
	d, err := s.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestLife(t *testing.T) {
	s := Store{Root: filepath.Join(t.TempDir(), "made", "on", "demand")}
	before := openFiles(t)
	d, err := s.Create("c1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create("c1"); !errors.Is(err, ErrExist) {
		t.Errorf("second Create = %v; want ErrExist", err)
	}
	if _, err := d.Load(); !errors.Is(err, ErrNotExist) {
		t.Errorf("Load before Save = %v; want ErrNotExist", err)
	}
	config := []byte("{\n  \"ociVersion\": \"1.3.0\" }")
	want := record("c1")
	if err := errors.Join(d.SaveConfig(config), d.Save(t.Context(), want)); err != nil {
		t.Fatal(err)
	}
	if err := d.SaveConfig(config); !errors.Is(err, unix.EEXIST) {
		t.Errorf("second SaveConfig = %v; want EEXIST", err)
	}
	other, err := s.Open("c1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v; want %+v", got, err, want)
	}
	if got, err := other.Config(); err != nil || string(got) != string(config) {
		t.Errorf("Config = %q, %v; want it verbatim", got, err)
	}
	if uid := other.Owner(); int(uid) != os.Geteuid() {
		t.Errorf("Owner = %d; want %d", uid, os.Geteuid())
	}
	if err := d.Remove(t.Context()); err != nil {
		t.Errorf("Remove = %v; want nil", err)
	}
	if err := other.Remove(t.Context()); err != nil {
		t.Errorf("second Remove = %v; want nil", err)
	}
	if err := other.Save(t.Context(), want); !errors.Is(err, ErrNotExist) {
		t.Errorf("Save after Remove = %v; want ErrNotExist", err)
	}
	if _, err := s.Open("c1"); !errors.Is(err, ErrNotExist) {
		t.Errorf("Open after Remove = %v; want ErrNotExist", err)
	}
	d.Close()
	other.Close()
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open; want %d", after, before)
	}
}

// The root that Create makes has the sticky bit, so that programs that clean $XDG_RUNTIME_DIR up spare it.
func TestRootIsSpared(t *testing.T) {
	s := Store{Root: filepath.Join(t.TempDir(), "a", "root")}
	d, err := s.Create("c")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	info, err := os.Stat(s.Root)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), os.ModeDir|os.ModeSticky|0o700; got != want {
		t.Errorf("the root made by Create has mode %v; want %v", got, want)
	}
}

// A Dir must not remove the directory of a later container with the same id.
func TestRemoveSparesSuccessor(t *testing.T) {
	s := Store{Root: t.TempDir()}
	first := create(t, s, "c")
	late, err := s.Open("c")
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	first.Remove(t.Context())
	second := create(t, s, "c")
	if err := late.Remove(t.Context()); err != nil {
		t.Errorf("Remove of a removed one = %v; want nil", err)
	}
	if err := second.Save(t.Context(), record("c")); err != nil {
		t.Errorf("Save of the successor: %v", err)
	}
}

func TestRemoveTakesAll(t *testing.T) {
	fill := map[string]func(*testing.T, *Dir){
		"nothing":   func(*testing.T, *Dir) {},
		"temporary": func(t *testing.T, d *Dir) { os.WriteFile(d.file(newFile), []byte("{"), 0o600) },
		"retired":   func(t *testing.T, d *Dir) { d.Retire(t.Context()) },
		"gate":      func(t *testing.T, d *Dir) { g, _ := d.MakeGate(); g.Close() },
		"strangers": func(t *testing.T, d *Dir) {
			os.MkdirAll(d.file("x/y"), 0o700)
			os.WriteFile(d.file("x/y/z"), nil, 0o600)
			os.Symlink("/", d.file("link"))
		},
	}
	s := Store{Root: t.TempDir()}
	for name, f := range fill {
		d := create(t, s, name)
		f(t, d)
		if err := d.Remove(t.Context()); err != nil {
			t.Errorf("Remove with %s = %v; want nil", name, err)
		}
	}
	if left, err := os.ReadDir(s.Root); len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRetire(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	if err := d.Save(t.Context(), record("c")); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(d.file(newFile), []byte("of a Save that was killed"), 0o600)
	for range 2 {
		if err := d.Retire(t.Context()); err != nil {
			t.Fatalf("Retire = %v; want nil", err)
		}
	}
	if err := d.Save(t.Context(), record("c")); !errors.Is(err, ErrRetired) {
		t.Errorf("Save after Retire = %v; want ErrRetired", err)
	}
	if _, err := d.Load(); err != nil {
		t.Errorf("Load after Retire = %v; want nil", err)
	}
}

func TestADraftIsNotTheRecord(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	old, next := record("c"), record("c")
	next.Bundle = "/next"
	if err := errors.Join(d.Save(t.Context(), old), d.Draft(t.Context(), next)); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Load(); err != nil || r.Bundle != old.Bundle {
		t.Errorf("Load after Draft = %+v, %v; want the record of before", r, err)
	}
	if err := d.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Load(); err != nil || r.Bundle != next.Bundle {
		t.Errorf("Load after Publish = %+v, %v; want the draft", r, err)
	}
}

func TestADraftAfterRetire(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	if err := errors.Join(d.Save(t.Context(), record("c")), d.Draft(t.Context(), record("c")), d.Retire(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(t.Context()); !errors.Is(err, ErrRetired) {
		t.Errorf("Publish after Retire = %v; want ErrRetired", err)
	}
	if err := d.Draft(t.Context(), record("c")); !errors.Is(err, ErrRetired) {
		t.Errorf("Draft after Retire = %v; want ErrRetired", err)
	}
}

func TestSaveAfterKilledSave(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	os.WriteFile(d.file(newFile), []byte(strings.Repeat("x", 1<<16)), 0o600)
	if err := d.Save(t.Context(), record("c")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); err != nil {
		t.Errorf("Load = %v; want nil", err)
	}
}

func TestCorrupt(t *testing.T) {
	good, err := json.Marshal(record("c"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("%s has no %s", good, old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	tests := map[string]string{
		"empty":            "",
		"null":             "null",
		"cut off":          string(good[:len(good)/2]),
		"two":              string(good) + string(good),
		"array":            "[]",
		"wrong type":       with(`"pid":42`, `"pid":"42"`),
		"null inside":      with(`"pid":42`, `"pid":null`),
		"null in a list":   with(`"/sys/fs/cgroup/cpu/x"`, `null`),
		"fraction":         with(`"pid":42`, `"pid":4.2`),
		"huge":             with(`"pid":42`, `"pid":99999999999999999999`),
		"pid 0":            with(`"pid":42`, `"pid":0`),
		"pid -1":           with(`"pid":42`, `"pid":-1`),
		"no identity":      with(`"pidfdInode":7,`, ``),
		"another's":        with(`"id":"c"`, `"id":"d"`),
		"relative bundle":  with(`"/b"`, `"b"`),
		"climbing cgroup":  with(`"/sys/fs/cgroup/cpu/x"`, `"/sys/fs/cgroup/cpu/x/../../../../../etc"`),
		"climbing unified": with(`"root":"/r","path":"/x"`, `"root":"/r","path":"/../x"`),
		"climbing intent":  with(`{"kind":"cgroup","name":"/sys`, `{"kind":"cgroup","name":"/../sys`),
		"unknown intent":   with(`"kind":"scope"`, `"kind":"rm -rf"`),
		"no date":          with(`"created":"2026-11-22T01:02:03.000000004Z",`, ``),
	}
	s := Store{Root: t.TempDir()}
	d := create(t, s, "c")
	for name, data := range tests {
		os.WriteFile(d.file(recordFile), []byte(data), 0o600)
		r, err := d.Load()
		if err == nil || !strings.Contains(err.Error(), d.file(recordFile)) {
			t.Errorf("Load of %s = %+v, %v; want an error that names the file", name, r, err)
		}
	}
}

func TestNotAFile(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	path := d.file(recordFile)
	big := func() error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Truncate(maxFile + 1)
	}
	tests := map[string]func() error{
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"FIFO":      func() error { return unix.Mkfifo(path, 0o600) },
		"symlink":   func() error { return os.Symlink("/etc/passwd", path) },
		"too large": big,
	}
	for name, place := range tests {
		if err := place(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); err == nil || errors.Is(err, ErrNotExist) {
			t.Errorf("Load of a %s = %v; want an error", name, err)
		}
		os.Remove(path)
	}
}

func TestUntrustedDirectory(t *testing.T) {
	s := Store{Root: t.TempDir()}
	create(t, s, "shared")
	os.Chmod(s.path("shared"), 0o777)
	os.Symlink(s.path("shared"), s.path("link"))
	os.WriteFile(s.path("file"), nil, 0o600)
	for _, id := range []string{"shared", "link", "file"} {
		if _, err := s.Open(id); err == nil || errors.Is(err, ErrNotExist) {
			t.Errorf("Open(%q) = %v; want an error", id, err)
		}
	}
	if os.Geteuid() == 0 {
		create(t, s, "foreign")
		os.Chown(s.path("foreign"), 65534, 65534)
		if _, err := s.Open("foreign"); err == nil {
			t.Error("Open of another user's directory = nil; want an error")
		}
	}
}

func TestEachTolerates(t *testing.T) {
	s := Store{Root: t.TempDir()}
	for _, id := range []string{"b", "a", "corrupt", "empty"} {
		d := create(t, s, id)
		if id != "empty" {
			d.Save(t.Context(), record(id))
		}
		if id == "corrupt" {
			os.WriteFile(d.file(recordFile), []byte("null"), 0o600)
		}
	}
	os.Mkdir(s.path("@cache"), 0o700)
	var got []string
	err := s.Each(func(d *Dir, r *Record) { got = append(got, r.ID) })
	if want := []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("Each gave %q; want %q", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "corrupt") || strings.Contains(err.Error(), "@cache") {
		t.Errorf("Each = %v; want an error about the corrupt one only", err)
	}
	if err := (Store{Root: s.path("nowhere")}).Each(nil); err != nil {
		t.Errorf("Each of no root = %v", err)
	}
	if err := (Store{Root: "/dev/null"}).Each(nil); !errors.Is(err, ErrRoot) || !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("Each of a root that is none = %v; want ErrRoot", err)
	}
	if ids, err := (Store{Root: s.path("nowhere")}).List(); ids != nil || err != nil {
		t.Errorf("List of no root = %q, %v; want none", ids, err)
	}
}

// The records of Each do not share memory and are the same as those of Load, although all are read into one buffer.
func TestEachGivesWholeRecords(t *testing.T) {
	s := Store{Root: t.TempDir()}
	want := map[string]*Record{}
	for i := range 20 {
		r := record(fmt.Sprintf("c%d", i))
		r.Bundle, r.Rootfs = fmt.Sprintf("/bundle/%d", i), strings.Repeat("/r", 1+(7*i)%20)
		r.Init.Pid, r.Cgroup.V1[0].Path = 1000+i, fmt.Sprintf("/path/%d", i)
		r.Annotations = map[string]string{fmt.Sprintf("k%d", i): strings.Repeat("v", 20-i)}
		if i%3 == 0 {
			r.Cgroup.V1, r.Intents = nil, nil
		}
		if err := create(t, s, r.ID).Save(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want[r.ID] = r
	}
	got := map[string]*Record{}
	if err := s.Each(func(d *Dir, r *Record) {
		got[d.ID()] = r
		if d.Owner() != uint32(os.Geteuid()) {
			t.Errorf("%s belongs to user %d", d.ID(), d.Owner())
		}
	}); err != nil {
		t.Fatal(err)
	}
	for id, r := range want {
		if !reflect.DeepEqual(got[id], r) {
			t.Errorf("Each gave %s as %+v; want %+v", id, got[id], r)
		}
	}
}

func TestClean(t *testing.T) {
	for path, want := range map[string]bool{
		"": false, "/": true, "a": false, "/a": true, "/a/": false, "//a": false, "/a//b": false, "/.": false, "/a/..": false,
		"/a/./b": false, "/a/../b": false, "/.a": true, "/a/..b/c.": true, "/a/...": true, "/a.b/c": true, "/a\x00": false,
	} {
		if got := clean(path); got != want {
			t.Errorf("clean(%q) = %t; want %t", path, got, want)
		}
	}
}

func TestLockEnd(t *testing.T) {
	s := Store{Root: t.TempDir()}
	d := create(t, s, "c")
	if err := d.SaveConfig([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	unlock, err := d.LockEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.LockEnd(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second LockEnd = %v; want DeadlineExceeded", err)
	}
	if err := d.Save(t.Context(), record("c")); err != nil {
		t.Errorf("Save meanwhile = %v; want nil", err)
	}
	waited := make(chan error)
	go func() {
		unlock, err := d.LockEnd(t.Context())
		if err == nil {
			unlock()
		}
		waited <- err
	}()
	if err := d.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-waited; !errors.Is(err, ErrNotExist) {
		t.Errorf("LockEnd of who waited for the end = %v; want ErrNotExist", err)
	}
	if _, err := d.LockEnd(t.Context()); !errors.Is(err, ErrNotExist) {
		t.Errorf("LockEnd afterwards = %v; want ErrNotExist", err)
	}
}

func TestLock(t *testing.T) {
	s := Store{Root: t.TempDir()}
	d := create(t, s, "c")
	other, err := s.Open("c")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	held, err := d.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for name, d := range map[string]*Dir{"another": other, "the same one, elsewhere": d} {
		if err := d.Save(ctx, record("c")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Save of %s against a lock = %v; want DeadlineExceeded", name, err)
		}
	}
	if err := held.Save(t.Context(), record("c")); err != nil {
		t.Errorf("Save with the lock = %v; want nil", err)
	}
	if _, err := other.Load(); err != nil {
		t.Errorf("Load against a lock = %v; want nil", err)
	}
	type lock struct {
		held *Dir
		err  error
	}
	got := make(chan lock)
	wait := func(d *Dir) { held, err := d.Lock(t.Context()); got <- lock{held, err} }
	go wait(other)
	held.Unlock()
	l := <-got
	if l.err != nil {
		t.Fatalf("Lock after Unlock = %v; want nil", l.err)
	}
	l.held.Unlock()
	// The Lock that has given up above has released the lock as well.
	if held, err = d.Lock(t.Context()); err != nil {
		t.Fatalf("Lock = %v; want nil", err)
	}
	go wait(other)
	held.Remove(t.Context())
	held.Unlock()
	if l := <-got; !errors.Is(l.err, ErrNotExist) {
		t.Errorf("Lock of what was removed meanwhile = %v; want ErrNotExist", l.err)
	}
}

// A reader sees one whole record or another, whatever the writers do.
func TestSaveIsAtomic(t *testing.T) {
	s := Store{Root: t.TempDir()}
	create(t, s, "c").Save(t.Context(), record("c"))
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			d, err := s.Open("c")
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			for i := range 50 {
				r := record("c")
				r.Annotations = map[string]string{"x": strings.Repeat(fmt.Sprint(w), i*100)}
				if err := d.Save(t.Context(), r); err != nil {
					t.Errorf("Save: %v", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	d, err := s.Open("c")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for {
		if _, err := d.Load(); err != nil {
			t.Errorf("Load: %v", err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestGate(t *testing.T) {
	tests := []struct {
		name  string
		stub  func(g *Gate)
		want  unix.Errno
		after bool
	}{
		{name: "execve succeeds", stub: func(g *Gate) { g.Start.Read(make([]byte, 1)); g.Close() }},
		{name: "execve fails", want: unix.ENOEXEC, stub: func(g *Gate) {
			g.Start.Read(make([]byte, 1))
			g.Status.Write(binary.NativeEndian.AppendUint32(nil, uint32(unix.ENOEXEC)))
			g.Close()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := openFiles(t)
			d, err := Store{Root: t.TempDir()}.Create("c")
			if err != nil {
				t.Fatal(err)
			}
			g, err := d.MakeGate()
			if err != nil {
				t.Fatal(err)
			}
			if gated, err := d.Gated(); !gated || err != nil {
				t.Errorf("Gated = %v, %v; want true", gated, err)
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				tt.stub(g)
			}()
			p, err := d.OpenGate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.Wait(t.Context(), -1); got != tt.want || err != nil {
				t.Errorf("Wait = %v, %v; want %v", got, err, tt.want)
			}
			<-closed // the open ends are counted below
			if gated, err := d.Gated(); gated || err != nil {
				t.Errorf("Gated after start = %v, %v; want false", gated, err)
			}
			if _, err := d.OpenGate(t.Context()); !errors.Is(err, ErrNotCreated) {
				t.Errorf("second OpenGate = %v; want ErrNotCreated", err)
			}
			p.Close()
			d.Close()
			if after := openFiles(t); after != before {
				t.Errorf("%d descriptors are open; want %d", after, before)
			}
		})
	}
}

func TestGateOfTheDead(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	g, err := d.MakeGate()
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
	if gated, err := d.Gated(); gated || err != nil {
		t.Errorf("Gated = %v, %v; want false", gated, err)
	}
	if _, err := d.OpenGate(t.Context()); !errors.Is(err, proc.ErrGone) {
		t.Errorf("OpenGate = %v; want ErrGone", err)
	}
}

func TestGateWaitsNoLongerThanAllowed(t *testing.T) {
	d := create(t, Store{Root: t.TempDir()}, "c")
	g, err := d.MakeGate()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	p, err := d.OpenGate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Wait(ctx, -1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v; want DeadlineExceeded", err)
	}
}

// Exactly one of many concurrent starts succeeds.
func TestStartedOnce(t *testing.T) {
	s := Store{Root: t.TempDir()}
	g, err := create(t, s, "c").MakeGate()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	const starters = 8
	won := make(chan bool, starters)
	for range starters {
		go func() {
			d, err := s.Open("c")
			if err != nil {
				t.Error(err)
			}
			defer d.Close()
			p, err := d.OpenGate(t.Context())
			if err == nil {
				p.Close()
			} else if !errors.Is(err, ErrNotCreated) {
				t.Errorf("OpenGate = %v; want nil or ErrNotCreated", err)
			}
			won <- err == nil
		}()
	}
	winners := 0
	for range starters {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d started the container; want 1", winners, starters)
	}
}

// encoding/json reads and writes the record in the same way as this package.
func TestEncode(t *testing.T) {
	full := record("c")
	full.Rootless, full.NoNewKeyring, full.Cgroup.Scope = true, true, "x.scope"
	full.Init.StartTime = 1<<64 - 1
	full.Annotations = map[string]string{"": "", "b": "<&> \u2028 \t \x00 \\ \"", "a": "\u00e9\U0001f600"}
	bare := &Record{OCIVersion: "1", ID: "c", Bundle: "/", Rootfs: "/", Created: full.Created}
	for _, want := range []*Record{full, bare} {
		data := want.encode()
		var got Record
		if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(&got, want) {
			t.Errorf("encode() = %s, which is %+v, %v; want %+v", data, got, err, want)
		}
		for _, layout := range [][]byte{data, marshal(t, want), indent(t, data)} {
			if got, err := parseRecord("c", layout, nil); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("parseRecord(%s) = %+v, %v; want %+v", layout, got, err, want)
			}
		}
	}
}

func marshal(t *testing.T, r *Record) []byte {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func indent(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, data, "\t", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnknownFields(t *testing.T) {
	data := strings.Replace(string(record("c").encode()), "{", `{"later": {"x": [1.5e3, null, "}"]} , "n":null,`, 1)
	if got, err := parseRecord("c", []byte(data), nil); err != nil || !reflect.DeepEqual(got, record("c")) {
		t.Errorf("parseRecord(%s) = %+v, %v; want the fields that are known", data, got, err)
	}
}

// An accepted record is JSON and passes its own checks. Written again, it means the same to encoding/json.
func FuzzParseRecord(f *testing.F) {
	f.Add(record("c").encode())
	f.Add([]byte("null"))
	f.Add([]byte(`{"id":"c","init":null}`))
	f.Add([]byte(`{"id":"c","cgroup":{"v1":["/../x",]}}`))
	f.Add([]byte(`{"id":"\u0063","rootless":true,"x":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord("c", data, nil)
		if (r == nil) != (err != nil) {
			t.Fatalf("parseRecord(%q) = %+v, %v; want one or the other", data, r, err)
		}
		if err != nil {
			return
		}
		if !json.Valid(data) || r.ID != "c" || r.check() != nil {
			t.Fatalf("parseRecord(%q) = %+v", data, r)
		}
		var again Record
		if err := json.Unmarshal(r.encode(), &again); err != nil {
			t.Fatalf("encode() = %s: %v", r.encode(), err)
		}
		ours, err := parseRecord("c", r.encode(), nil)
		if err != nil || !bytes.Equal(ours.encode(), again.encode()) {
			t.Errorf("%s is %+v, %v; want %+v", r.encode(), ours, err, again)
		}
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// BenchmarkCreate measures the state's part of a create: the directory, the configuration, the gate, the record with its
// intents, and the record with the process.
func BenchmarkCreate(b *testing.B) {
	s := Store{Root: b.TempDir()}
	if shm, err := os.MkdirTemp("/dev/shm", "state"); err == nil {
		defer os.RemoveAll(shm)
		s.Root = shm
	}
	config := make([]byte, 8<<10)
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("c", i)
		d, err := s.Create(id)
		if err != nil {
			b.Fatal(err)
		}
		r := record(id)
		g, err := d.MakeGate()
		if err := errors.Join(err, d.SaveConfig(config), d.Save(b.Context(), r), d.Save(b.Context(), r), g.Close()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		d.Remove(b.Context())
		d.Close()
		b.StartTimer()
	}
}

func BenchmarkLoad(b *testing.B) {
	s := Store{Root: b.TempDir()}
	d, err := s.Create("c")
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.Save(b.Context(), record("c")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		o, err := s.Open("c")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := o.Load(); err != nil {
			b.Fatal(err)
		}
		o.Close()
	}
}

// A create that cannot open the directory it has made removes it, so that the id is free again.
func TestCreateWithoutDescriptors(t *testing.T) {
	s := Store{Root: t.TempDir()}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create("one")
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("Create = %v; want EMFILE", err)
	}
	if list, err := s.List(); len(list) != 0 || err != nil {
		t.Errorf("List = %v, %v; want nothing", list, err)
	}
}
