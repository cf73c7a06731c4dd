package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment, and a line that is none

daemon:x:1:1::/usr/sbin:/bin/sh
empty:x:2:2:::/bin/sh
short:x:3:3::/home/short
first:x:4:4::/home/first:/bin/sh
second:x:4:4::/home/second:/bin/sh
1000:x:0:0::/evil:/bin/sh
last:x:4294967294:0::/home/last:/bin/sh`

func TestHomeOf(t *testing.T) {
	for uid, want := range map[uint32]string{
		0: "/root", 1: "/usr/sbin", 2: "/", 3: "/home/short", 4: "/home/first", 5: "/", 1000: "/", 4294967294: "/home/last", 4294967295: "/",
	} {
		if got := homeOf([]byte(passwd), uid); got != want {
			t.Errorf("homeOf(passwd, %d) = %q; want %q", uid, got, want)
		}
	}
	for _, text := range []string{"", "\n", ":::::::", "a:b:c", "x:x:7:7::/h:/s\x00\n"} {
		if got := homeOf([]byte(text), 0); got != "/" {
			t.Errorf("homeOf(%q, 0) = %q; want /", text, got)
		}
	}
}

func FuzzHomeOf(f *testing.F) {
	f.Add([]byte(passwd), uint32(0))
	f.Add([]byte("a:b:0:d:e:"), uint32(0))
	f.Fuzz(func(t *testing.T, text []byte, uid uint32) {
		if got := homeOf(text, uid); got == "" || strings.ContainsAny(got, ":\n") {
			t.Errorf("homeOf(%q, %d) = %q", text, uid, got)
		}
	})
}

// TestHome: the passwd of an image may contain anything.
func TestHome(t *testing.T) {
	long := strings.Repeat("user:x:7:7::/home/user:/bin/sh\n", 300)
	for _, tt := range []struct {
		name    string
		prepare func(*inside)
		want    string
	}{
		{"a file", func(in *inside) { in.file("etc/passwd", passwd) }, "/root"},
		{"no file", func(*inside) {}, "/"},
		{"a symlink in the root", func(in *inside) { in.file("etc/passwd", "->/other"); in.file("other", passwd) }, "/root"},
		{"a symlink out of the root", func(in *inside) { in.file("etc/passwd", "->../../../../../../etc/passwd") }, "/"},
		{"a directory", func(in *inside) { in.file("etc/passwd", "/") }, "/"},
		{"a pipe", func(in *inside) { in.file("etc", "/"); mkfifo(in, "etc/passwd") }, "/"},
		{"in a directory without passwd", func(in *inside) { in.file("etc", "text") }, "/"},
		{"a symlink to itself", func(in *inside) { in.file("etc/passwd", "->passwd") }, "/"},
		{"one of just a chunk", func(in *inside) {
			in.file("etc/passwd", strings.Repeat("#", passwdChunk-len("\nroot:x:0:0::/edge\n"))+"\nroot:x:0:0::/edge\n")
		}, "/edge"},
		{"a long one", func(in *inside) { in.file("etc/passwd", long+"root:x:0:0::/far:/bin/sh\n") }, "/far"},
		{"one that is too long", func(in *inside) {
			in.file("etc/passwd", strings.Repeat(long, 120)+"root:x:0:0::/too-far:/bin/sh\n")
		}, "/"},
		{"an endless one", func(in *inside) { in.file("etc/passwd", "->/dev/zero"); in.file("dev", "/"); mknod(in, "dev/zero", 5) }, "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			tt.prepare(in)
			if err := in.take(newMountNamespace(), []plan.Step{plan.Pivot{}, plan.Home{UID: 0}}, func(func(string) string) {}); err != nil {
				t.Fatal(err)
			}
			if in.program.home.dir != tt.want {
				t.Errorf("HOME = %q; want %q", in.program.home.dir, tt.want)
			}
		})
	}
}

func mkfifo(in *inside, path string) {
	in.t.Helper()
	if err := unix.Mkfifo(filepath.Join(in.rootfs, path), 0o666); err != nil {
		in.t.Fatal(err)
	}
}

func mknod(in *inside, path string, minor uint32) {
	in.t.Helper()
	if err := unix.Mknod(filepath.Join(in.rootfs, path), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
		in.t.Fatal(err)
	}
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct{ name, path, want string }{
		{"sh", "/bin:/usr/bin", "/bin/sh /usr/bin/sh"},
		{"sh", "", "/bin/sh /usr/bin/sh"},
		{"sh", ":/bin:", "./sh /bin/sh ./sh"},
		{"sh", "bin", "bin/sh"},
		{"/bin/sh", "/usr/bin", "/bin/sh"},
		{"./sh", "/usr/bin", "./sh"},
		{"a/b", "/usr/bin", "a/b"},
	} {
		if got := strings.Join(candidates(plan.FindProgram{Name: tt.name, Path: tt.path}), " "); got != tt.want {
			t.Errorf("candidates(%q in %q) = %q; want %q", tt.name, tt.path, got, tt.want)
		}
	}
}

// TestFindProgram: containerd and Docker turn these texts into the exit codes 126
// and 127.
func TestFindProgram(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(*inside)
		find    plan.FindProgram
		want    string // the program, or the end of the error
	}{
		{"by PATH", func(in *inside) { script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: "/a:/b:/c"}, "/b/x"},
		{"the first", func(in *inside) { script(in, "a/x", 0o755); script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: "/a:/b"}, "/a/x"},
		{"the first that can be executed", func(in *inside) { script(in, "a/x", 0o644); script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: "/a:/b"}, "/b/x"},
		{"not a directory", func(in *inside) { in.file("a/x", "/"); script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: "/a:/b"}, "/b/x"},
		{"not a pipe", func(in *inside) { in.file("a", "/"); mkfifo(in, "a/x"); script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: "/a:/b"}, "/b/x"},
		{"by a symlink", func(in *inside) { script(in, "real", 0o755); in.file("a/x", "->/real") }, plan.FindProgram{Name: "x", Path: "/a"}, "/a/x"},
		{"as it is", func(in *inside) { script(in, "d/x", 0o755) }, plan.FindProgram{Name: "d/x", Path: "/a"}, "d/x"},
		{"nowhere", func(*inside) {}, plan.FindProgram{Name: "x", Path: "/a:/b"}, "executable file not found in $PATH"},
		{"nothing", func(*inside) {}, plan.FindProgram{Name: "", Path: "/"}, "executable file not found in $PATH"},
		{"nowhere, as it is", func(*inside) {}, plan.FindProgram{Name: "/a/x"}, "no such file or directory"},
		{"a dangling symlink", func(in *inside) { in.file("x", "->/nowhere") }, plan.FindProgram{Name: "/x"}, "no such file or directory"},
		{"below a file", func(in *inside) { in.file("a", "text") }, plan.FindProgram{Name: "/a/x"}, "not a directory"},
		{"not executable", func(in *inside) { script(in, "a/x", 0o644) }, plan.FindProgram{Name: "x", Path: "/a:/b"}, "permission denied"},
		{"not executable, as it is", func(in *inside) { script(in, "a/x", 0o644) }, plan.FindProgram{Name: "/a/x"}, "permission denied"},
		{"a directory", func(in *inside) { in.file("a", "/") }, plan.FindProgram{Name: "/a"}, "permission denied"},
		{"a PATH of many directories", func(in *inside) { script(in, "b/x", 0o755) }, plan.FindProgram{Name: "x", Path: strings.Repeat("/a:", 1300) + "/b"}, "/b/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			tt.prepare(in)
			err := in.take(newMountNamespace(), []plan.Step{plan.Pivot{}, plan.Cwd{Path: "/"}, tt.find}, func(func(string) string) {})
			switch {
			case strings.HasPrefix(tt.want, "/") || strings.HasPrefix(tt.want, "d/"):
				if err != nil || in.program.path != tt.want {
					t.Errorf("%q in %.20q = %q, %v; want %q", tt.find.Name, tt.find.Path, in.program.path, err, tt.want)
				}
			case err == nil:
				t.Errorf("%q in %.20q = %q; want … %q", tt.find.Name, tt.find.Path, in.program.path, tt.want)
			case !strings.HasSuffix(err.Error(), tt.want) || !strings.Contains(err.Error(), fmt.Sprintf("exec: %q", tt.find.Name)):
				t.Errorf("the error is %q; want exec: %q … %s", err, tt.find.Name, tt.want)
			}
		})
	}
}

func script(in *inside, path string, mode os.FileMode) {
	in.t.Helper()
	in.file(path, "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(in.rootfs, path), mode); err != nil {
		in.t.Fatal(err)
	}
}

// TestFindProgramAsTheUser: the permissions of the user count, not those of root.
func TestFindProgramAsTheUser(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode os.FileMode // of the directory a
		want string
	}{
		{"where it may not look", 0o700, "/b/x"},
		{"where it may", 0o755, "/a/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			script(in, "a/x", 0o755)
			script(in, "b/x", 0o755)
			if err := os.Chmod(filepath.Join(in.rootfs, "a"), tt.mode); err != nil {
				t.Fatal(err)
			}
			steps := []plan.Step{plan.Pivot{}, plan.Cwd{Path: "/"}, plan.Identity{UID: 1000, GID: 1000, SetGroups: true}, plan.FindProgram{Name: "x", Path: "/a:/b"}}
			if err := in.take(newMountNamespace(), steps, func(func(string) string) {}); err != nil || in.program.path != tt.want {
				t.Errorf("the program is %q, %v; want %q", in.program.path, err, tt.want)
			}
		})
	}
}

func TestCwd(t *testing.T) {
	user := plan.Identity{UID: 1000, GID: 1000, SetGroups: true}
	for _, tt := range []struct {
		name    string
		prepare func(*inside)
		cwd     plan.Cwd
		want    string // "" for an error
	}{
		{"there", func(in *inside) { in.file("a/b", "/") }, plan.Cwd{Path: "/a/b"}, "/a/b"},
		{"made by create", func(*inside) {}, plan.Cwd{Path: "/a/b", Create: true}, "/a/b"},
		{"not made by exec", func(*inside) {}, plan.Cwd{Path: "/a/b"}, ""},
		{"a symlink", func(in *inside) { in.file("real", "/"); in.file("a", "->/real") }, plan.Cwd{Path: "/a"}, "/real"},
		{"a file", func(in *inside) { in.file("a", "text") }, plan.Cwd{Path: "/a", Create: true}, ""},
		{"only root may enter", func(in *inside) {
			in.file("a/b", "/")
			if err := os.Chmod(filepath.Join(in.rootfs, "a"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, plan.Cwd{Path: "/a/b"}, "/a/b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newInside(t)
			in.file("etc", "/")
			script(in, "x", 0o755)
			tt.prepare(in)
			err := in.take(newMountNamespace(), []plan.Step{plan.Pivot{}, tt.cwd, user, plan.FindProgram{Name: "/x"}}, func(path func(string) string) {
				link := strings.TrimSuffix(path("/"), "/root") + "/cwd"
				if at, err := os.Readlink(link); err != nil || at != tt.want {
					t.Errorf("the working directory is %q, %v; want %q", at, err, tt.want)
				}
			})
			if (err == nil) != (tt.want != "") {
				t.Errorf("entering %s = %v", tt.cwd.Path, err)
			}
		})
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string][]uint64{"0": {1}, "0-3,7": {0x8f}, "64": {0, 1}, "63-64": {1 << 63, 1}, "5,1,5": {0x22}} {
		if got, err := mask(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("mask(%q) = %x, %v; want %x", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "3-1", "1-", "-1", "0-99999999999"} {
		if got, err := mask(in); err == nil {
			t.Errorf("mask(%q) = %x; want an error", in, got)
		}
	}
}

func TestGivable(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer other.Close()
	closed, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	own := uint32(os.Geteuid())
	for _, tt := range []struct {
		name string
		file *os.File
		uid  uint32
		want bool
	}{
		{"the host's /dev/null", null, 1000, false},
		{"a file", file, 1000, false},
		{"a pipe", pipe, 1000, true},
		{"one that is closed", closed, 1000, false},
		{"root's own, to root", pipe, 0, own != 0},
	} {
		if got := givable(tt.file, tt.uid); got != tt.want {
			t.Errorf("givable(%s, %d) = %v; want %v", tt.name, tt.uid, got, tt.want)
		}
	}
}

// TestCredentials compares the credentials that the kernel shows, and no others.
func TestCredentials(t *testing.T) {
	const kill, chown = 1 << unix.CAP_KILL, 1 << unix.CAP_CHOWN
	in := newInside(t)
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Pivot{},
		plan.Umask{Mask: 0o27},
		plan.NoNewPrivs{},
		plan.BoundingSet{Keep: kill | chown},
		plan.Identity{UID: 5, GID: 6, Groups: []uint32{7, 8}, SetGroups: true, KeepCaps: true},
		plan.Capabilities{Effective: kill, Permitted: kill | chown, Inheritable: chown, Ambient: chown},
	}, func(path func(string) string) {
		status, err := os.ReadFile(strings.TrimSuffix(path("/"), "/root") + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"Uid:\t5\t5\t5\t5", "Gid:\t6\t6\t6\t6", "Groups:\t7 8", "NoNewPrivs:\t1", "Umask:\t0027",
			fmt.Sprintf("CapInh:\t%016x", chown), fmt.Sprintf("CapPrm:\t%016x", kill|chown), fmt.Sprintf("CapEff:\t%016x", kill),
			fmt.Sprintf("CapBnd:\t%016x", kill|chown), fmt.Sprintf("CapAmb:\t%016x", chown),
		} {
			if !strings.Contains(string(status), "\n"+want) {
				t.Errorf("no %q in\n%s", want, status)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRlimitsOfTheStub(t *testing.T) {
	in := newInside(t)
	err := in.take(newMountNamespace(), []plan.Step{
		plan.Rlimits{Limits: []plan.Rlimit{{Name: "RLIMIT_CORE", Resource: unix.RLIMIT_CORE, Soft: 1, Hard: 2}}},
	}, func(func(string) string) {
		var lim unix.Rlimit
		if err := unix.Prlimit(in.stub.Pid, unix.RLIMIT_CORE, nil, &lim); err != nil || lim != (unix.Rlimit{Cur: 1, Max: 2}) {
			t.Errorf("the limit is %v, %v; want 1, 2", lim, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	in = newInside(t)
	err = in.take(newMountNamespace(), []plan.Step{
		plan.Rlimits{Limits: []plan.Rlimit{{Name: "RLIMIT_NOFILE", Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 1 << 40}}},
	}, nil)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "RLIMIT_NOFILE") && !strings.Contains(err.Error(), "prlimit64") {
		t.Errorf("a limit above fs.nr_open = %v; want EPERM of prlimit", err)
	}
}
