package tests

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// setProcess sets a property of process that the types of the specification cannot express.
func (c *container) setProcess(name string, value any) {
	c.t.Helper()
	data, err := json.Marshal(c.spec.Process)
	if err != nil {
		c.t.Fatal(err)
	}
	var all map[string]any
	decode(c.t, string(data), &all)
	delete(all, "noNewPrivileges")
	all[name] = value
	c.setRaw("process", all)
}

// Go's decoder, and therefore runc, accepts names in any case. A configuration that relies on it must not lose a restriction.
func TestNamesInConfigThatAreMisspelt(t *testing.T) {
	privileges := func(t *testing.T, name string) (string, result) {
		t.Helper()
		c := newContainer(t, sh("grep NoNewPrivs /proc/self/status"), func(s *specs.Spec) { s.Process.NoNewPrivileges = false })
		c.setProcess(name, true)
		r := c.run()
		if r.code != 0 {
			t.Fatal(r)
		}
		return strings.Fields(r.out)[1], r
	}
	t.Run("another case", func(t *testing.T) {
		peerFails(t, "crun", "leaves it out without a word")
		got, r := privileges(t, "noNewprivileges")
		want(t, "NoNewPrivs", got, "1")
		if env.kind == "onggi" && !strings.Contains(r.err, `/process/noNewprivileges: read as \"noNewPrivileges\"`) {
			t.Errorf("no warning names the right spelling: %v", r)
		}
	})
	t.Run("one edit away", func(t *testing.T) {
		got, r := privileges(t, "noNewPrivilege")
		want(t, "NoNewPrivs", got, "0")
		if env.kind == "onggi" && !strings.Contains(r.err, `/process/noNewPrivilege: unknown and ignored: \"noNewPrivileges\" may be meant`) {
			t.Errorf("no warning: %v", r)
		}
	})
}

// tmpcopyup copies FIFOs, sockets and devices too, and names those that cannot be created.
func TestTmpcopyupOfSpecialFiles(t *testing.T) {
	special := func(t *testing.T, edits ...edit) *container {
		t.Helper()
		c := newContainer(t, append(edits, sh("cd /data; for f in fifo socket null; do stat -c '%n %F %a %u' $f; done 2>/dev/null; cat file"),
			mount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}}))...)
		c.write("rootfs/data/file", "text\n")
		for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO, "socket": unix.S_IFSOCK, "null": unix.S_IFCHR} {
			path := filepath.Join(c.rootfs, "data", name)
			if err := unix.Mknod(path, mode|0o640, int(unix.Mkdev(1, 3))); err != nil {
				t.Fatal(err)
			}
			if err := unix.Chown(path, 7, 7); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	peerFails(t, "runc", "fails at the first of them")
	peerFails(t, "crun", "leaves them out without a word")
	t.Run("all", func(t *testing.T) {
		want(t, "files", special(t).output(), "fifo fifo 640 7\nsocket socket 640 7\nnull character special file 640 7\ntext")
	})
	t.Run("in a user namespace", func(t *testing.T) {
		r := special(t, userNamespace(0)).run()
		want(t, "files", r.out, "fifo fifo 640 7\nsocket socket 640 7\ntext\n")
		if !strings.Contains(r.err, "tmpcopyup of /data: 1 special files are not copied, /data/null first: operation not permitted") {
			t.Errorf("no warning: %v", r)
		}
	})
}

// runc writes 1 for a limit of 0, on update as on create. Neither lets a process fork.
func TestUpdateOfThePidsLimitToZero(t *testing.T) {
	needController(t, "pids")
	c := newContainer(t, resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: ptr(int64(50))} }))
	c.up()
	c.must("update", "--pids-limit", "0", c.id)
	want(t, "limit", c.limit("pids", "pids.max", "pids.max"), pidsLimitOfZero())
}

// Wrappers and completions read the headings of help texts.
func TestHelpHasRuncsHeadings(t *testing.T) {
	peerFails(t, "crun", "has the help of argp")
	c := newContainer(t)
	for _, line := range [][]string{{"--help"}, {"create", "--help"}, {"run", "--help"}, {"exec", "--help"}, {"kill", "--help"}} {
		r := c.verb(line...)
		if !strings.HasPrefix(r.out, "NAME:\n") || !strings.Contains(r.out, "\nUSAGE:\n") {
			t.Errorf("%v prints %q; want NAME: and USAGE:", line, r.out)
		}
	}
}

func TestListOfARootThatIsNotThere(t *testing.T) {
	peerFails(t, "crun", "lists nothing")
	c := newContainer(t)
	c.root = "/proc/nosuch"
	if r := c.verb("list"); r.code != 1 || !strings.Contains(r.err, "no such file or directory") {
		t.Errorf("list = %v; want exit status 1", r)
	}
}

// A mount in the place of a device, and several options in one element, are mistakes whose field the error names.
func TestMistakesNameTheirField(t *testing.T) {
	peersLack(t, "name no field")
	device := specs.LinuxDevice{Path: "/dev/there", Type: "c", Major: 1, Minor: 5}
	for _, tt := range []struct {
		name  string
		edits []edit
		words []string
	}{
		{
			"a device where a bind is",
			[]edit{mountOf("/dev/there", "bind", "/etc/passwd", "bind"), inLinux(func(l *specs.Linux) { l.Devices = append(l.Devices, device) })},
			[]string{"/linux/devices/0", "/dev/there"},
		},
		{"options in one element", []edit{mountOf("/mnt", "bind", "/tmp", "bind,ro,nosuid")}, []string{"/options: ", "options are one per element"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newContainer(t, tt.edits...).run()
			for _, word := range tt.words {
				refused(t, r, 1, word)
			}
		})
	}
}
