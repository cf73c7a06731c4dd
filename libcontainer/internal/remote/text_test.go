package remote

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

func itoa(n int) string { return strconv.Itoa(n) }

// texts lists each call and its printed form. Calls before it in the batch are separated by semicolons.
var texts = []struct {
	method string
	add    func(*Batch)
	want   string
}{
	{"Openat2", func(b *Batch) { b.Openat2(Inherited(5, "rootfs"), "etc/hosts", unix.O_PATH|unix.O_NOFOLLOW, 0, InRoot) }, `openat2(<rootfs>, "etc/hosts", {O_PATH|O_NOFOLLOW|O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}, 24)`},
	{"Open", func(b *Batch) { b.Open("/dev/null", unix.O_WRONLY) }, `openat(AT_FDCWD, "/dev/null", O_WRONLY|O_CLOEXEC, 0)`},
	{"Close", func(b *Batch) { b.Close(Inherited(5, "")) }, "close(5)"},
	{"CloseRange", func(b *Batch) { b.CloseRange(3, unix.CLOSE_RANGE_CLOEXEC) }, "close_range(3, 0xffffffff, 0x4)"},
	{"Dup3", func(b *Batch) { b.Dup3(Inherited(5, "terminal"), 2, true) }, "dup3(<terminal>, 2, O_CLOEXEC)"},
	{"Mkdirat", func(b *Batch) { b.Mkdirat(Cwd(), "a", 0o755) }, `mkdirat(AT_FDCWD, "a", 0755)`},
	{"Mknodat", func(b *Batch) { b.Mknodat(Cwd(), "a", unix.S_IFCHR|0o666, unix.Mkdev(1, 3)) }, `mknodat(AT_FDCWD, "a", 020666, 0x103)`},
	{"Symlinkat", func(b *Batch) { b.Symlinkat("to", Cwd(), "a") }, `symlinkat("to", AT_FDCWD, "a")`},
	{"Unlinkat", func(b *Batch) { b.Unlinkat(Cwd(), "a", 0) }, `unlinkat(AT_FDCWD, "a", 0)`},
	{"Fchown", func(b *Batch) { b.Fchown(Inherited(1, "stdio"), 5, ^uint32(0)) }, `fchownat(<stdio>, "", 5, 4294967295, 0x1000)`},
	{"Fchownat", func(b *Batch) { b.Fchownat(Cwd(), "a", 1, 2) }, `fchownat(AT_FDCWD, "a", 1, 2, 0x100)`},
	{"Fchmod", func(b *Batch) { b.Fchmod(Inherited(5, "x"), 0o644) }, "fchmod(<x>, 0644)"},
	{"Fchmodat2", func(b *Batch) { b.Fchmodat2(Inherited(5, "x"), 0o644) }, `fchmodat2(<x>, "", 0644, 0x1000)`},
	{"Fchmodat", func(b *Batch) { b.Fchmodat(Inherited(5, "x"), "a", 0o644) }, `fchmodat(<x>, "a", 0644)`},
	{"ReadTo", func(b *Batch) { _, m := b.Read(Inherited(5, "x"), 8); b.ReadTo(m, Inherited(5, "x"), 9) }, `read(<x>, &, 8); read(<x>, &, 8)`},
	{"WriteFrom", func(b *Batch) { _, m := b.Read(Inherited(5, "x"), 8); b.WriteFrom(m, Inherited(5, "x"), 3) }, `read(<x>, &, 8); write(<x>, &, 3)`},
	{"Chmod", func(b *Batch) { b.Chmod("/a", 0o644) }, `fchmodat(AT_FDCWD, "/a", 0644)`},
	{"Fsetxattr", func(b *Batch) { b.Fsetxattr(Inherited(5, "x"), "security.selinux", "label") }, `fsetxattr(<x>, "security.selinux", "label", 5, 0)`},
	{"Write", func(b *Batch) { b.Write(Inherited(5, "x"), "say \"hi\"\n") }, `write(<x>, "say \"hi\"\n", 9)`},
	{"Read", func(b *Batch) { b.Read(Inherited(5, "x"), 9) }, "read(<x>, &, 9)"},
	{"Pread", func(b *Batch) { b.Pread(Inherited(5, "x"), 9, 100) }, "pread64(<x>, &, 9, 100)"},
	{"Readlinkat", func(b *Batch) { b.Readlinkat(Inherited(5, "x"), "a") }, `readlinkat(<x>, "a", &, 4096)`},
	{"Getcwd", func(b *Batch) { b.Getcwd() }, "getcwd(&, 4096)"},
	{"Statx", func(b *Batch) { b.Statx(Inherited(5, "x"), "a", unix.AT_SYMLINK_NOFOLLOW) }, `statx(<x>, "a", 0x100, 0x57ff, &)`},
	{"Fstatfs", func(b *Batch) { b.Fstatfs(Inherited(5, "x")) }, "fstatfs(<x>, &)"},
	{"Faccess", func(b *Batch) { b.Faccess(Cwd(), "a", unix.X_OK) }, `faccessat2(AT_FDCWD, "a", 1, 0x200)`},
	{"Fchdir", func(b *Batch) { b.Fchdir(Inherited(5, "x")) }, "fchdir(<x>)"},
	{"Chdir", func(b *Batch) { b.Chdir("/") }, `chdir("/")`},
	{"Chroot", func(b *Batch) { b.Chroot(".") }, `chroot(".")`},
	{"FreeArena", func(b *Batch) { b.FreeArena() }, "madvise(&, &, MADV_DONTNEED)"},
	{"Umask", func(b *Batch) { b.Umask(0o22) }, "umask(022)"},
	{"IoctlInt", func(b *Batch) { b.IoctlInt(Inherited(5, "x"), "TIOCSCTTY", unix.TIOCSCTTY, 0) }, "ioctl(<x>, TIOCSCTTY, 0)"},
	{"IoctlOpen", func(b *Batch) { b.IoctlOpen(Inherited(5, "x"), "peer", "TIOCGPTPEER", unix.TIOCGPTPEER, unix.O_RDWR) }, "ioctl(<x>, TIOCGPTPEER, O_RDWR)"},
	{"IoctlMem", func(b *Batch) { b.IoctlMem(Inherited(5, "x"), "TIOCSWINSZ", unix.TIOCSWINSZ, make([]byte, 8)) }, "ioctl(<x>, TIOCSWINSZ, &{…})"},
	{"Socket", func(b *Batch) { b.Socket("s", unix.AF_INET, unix.SOCK_DGRAM, 0) }, "socket(2, 0x80002, 0)"},
	{"Getdents", func(b *Batch) { b.Getdents(Inherited(5, "x"), 7) }, "getdents64(<x>, &, 7)"},
	{"Sendfile", func(b *Batch) { b.Sendfile(Inherited(5, "x"), Inherited(6, "y"), 7) }, "sendfile(<x>, <y>, 0, 7)"},

	{"Fsopen", func(b *Batch) { b.Fsopen("tmpfs") }, `fsopen("tmpfs", 0x1)`},
	{"FsconfigString", func(b *Batch) { b.FsconfigString(Inherited(5, "tmpfs context"), "mode", "755") }, `fsconfig(<tmpfs context>, FSCONFIG_SET_STRING, "mode", "755", 0)`},
	{"FsconfigFlag", func(b *Batch) { b.FsconfigFlag(Inherited(5, "tmpfs context"), "ro") }, `fsconfig(<tmpfs context>, FSCONFIG_SET_FLAG, "ro", 0x0, 0)`},
	{"FsconfigFD", func(b *Batch) { b.FsconfigFD(Inherited(5, "proc context"), "pidns", Inherited(6, "pid")) }, `fsconfig(<proc context>, FSCONFIG_SET_FD, "pidns", 0x0, <pid>)`},
	{"FsconfigCreate", func(b *Batch) { b.FsconfigCreate(Inherited(5, "proc context")) }, "fsconfig(<proc context>, FSCONFIG_CMD_CREATE, 0x0, 0x0, 0)"},
	{"Fspick", func(b *Batch) { b.Fspick(Inherited(5, "/tmp")) }, `fspick(</tmp>, "", 0x9)`},
	{"FsconfigReconfigure", func(b *Batch) { b.FsconfigReconfigure(Inherited(5, "/tmp context")) }, "fsconfig(</tmp context>, FSCONFIG_CMD_RECONFIGURE, 0x0, 0x0, 0)"},
	{"Fsmount", func(b *Batch) { b.Fsmount(Inherited(5, "proc context"), "/proc", unix.MOUNT_ATTR_NOSUID) }, "fsmount(<proc context>, 0x1, MOUNT_ATTR_NOSUID)"},
	{"OpenTree", func(b *Batch) { b.OpenTree(Inherited(5, "x"), "", true) }, `open_tree(<x>, "", OPEN_TREE_CLONE|AT_RECURSIVE|AT_EMPTY_PATH|OPEN_TREE_CLOEXEC)`},
	{"OpenSource", func(b *Batch) { b.OpenSource("/a", true, true) }, `open_tree(AT_FDCWD, "/a", OPEN_TREE_CLONE|AT_RECURSIVE|AT_SYMLINK_NOFOLLOW|OPEN_TREE_CLOEXEC)`},
	{"Statmount", func(b *Batch) { b.Statmount(7) }, "statmount(&{…}, &, 512, 0x0)"},
	{"MoveMount", func(b *Batch) { b.MoveMount(Inherited(5, "/proc"), Inherited(6, "proc")) }, `move_mount(</proc>, "", <proc>, "", MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH)`},
	{"MoveMountAt", func(b *Batch) { b.MoveMountAt(Inherited(5, "rootfs"), ".") }, `move_mount(<rootfs>, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH)`},
	{"MountSetattr", func(b *Batch) {
		b.MountSetattr(Inherited(5, "m"), "", true, Attr{Set: unix.MOUNT_ATTR_RDONLY, Clear: unix.MOUNT_ATTR_NOEXEC, Propagation: unix.MS_SLAVE})
	}, `mount_setattr(<m>, "", AT_RECURSIVE|AT_EMPTY_PATH, {set MOUNT_ATTR_RDONLY, clear MOUNT_ATTR_NOEXEC, MS_SLAVE}, 32)`},
	{"PivotRoot", func(b *Batch) { b.PivotRoot(".", ".") }, `pivot_root(".", ".")`},
	{"Umount2", func(b *Batch) { b.Umount2(".", unix.MNT_DETACH) }, `umount2(".", 0x2)`},
	{"Mount", func(b *Batch) { b.Mount(".", "/", "", unix.MS_MOVE, "") }, `mount(".", "/", 0x0, 0x2000, 0x0)`},

	{"Unshare", func(b *Batch) { b.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUSER) }, "unshare(CLONE_NEWUSER|CLONE_NEWNS)"},
	{"Setns", func(b *Batch) { b.Setns(Inherited(5, "/proc/1/ns/net"), unix.CLONE_NEWNET) }, "setns(</proc/1/ns/net>, CLONE_NEWNET)"},
	{"Clone", func(b *Batch) { b.Clone(unix.CLONE_PARENT) }, cloneText("CLONE_PARENT|0x11")},
	{"CloneInto", func(b *Batch) { b.CloneInto(unix.CLONE_PARENT, Inherited(5, "cgroup")) }, "clone3({CLONE_PARENT|CLONE_INTO_CGROUP, cgroup <cgroup>}, 88)"},
	{"CloneShared", func(b *Batch) { b.CloneShared() }, cloneText("0x4511")},
	{"Reap", func(b *Batch) { b.Reap(b.CloneShared()) }, cloneText("0x4511") + "; wait4(&, 0, 0, 0)"},
	{"Prctl", func(b *Batch) { b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 1) }, "prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)"},
	{"SetDumpable", func(b *Batch) { b.SetDumpable(true) }, "prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)"},
	{"SetName", func(b *Batch) { b.SetName("x") }, `prctl(PR_SET_NAME, "x")`},
	{"Setsid", func(b *Batch) { b.Setsid() }, "setsid()"},
	{"UnblockSignals", func(b *Batch) { b.UnblockSignals() }, "rt_sigprocmask(SIG_SETMASK, &{…}, 0x0, 8)"},
	{"DefaultSignal", func(b *Batch) { b.DefaultSignal(unix.SIGPIPE) }, "rt_sigaction(13, &{…}, 0x0, 8)"},
	{"Setresuid", func(b *Batch) { b.Setresuid(5) }, "setresuid(5, 5, 5)"},
	{"Setresgid", func(b *Batch) { b.Setresgid(5) }, "setresgid(5, 5, 5)"},
	{"Setgroups", func(b *Batch) { b.Setgroups([]uint32{1, 2}) }, "setgroups(2, &{…})"},
	{"Capset", func(b *Batch) { b.Capset(1<<40|1, 2, 3) }, "capset(&{…}, {effective 0000010000000001, permitted 0000000000000002, inheritable 0000000000000003})"},
	{"Setrlimit", func(b *Batch) { b.Setrlimit(unix.RLIMIT_NOFILE, 1, 2) }, "prlimit64(0, 7, &{…}, 0)"},
	{"Sethostname", func(b *Batch) { b.Sethostname("host") }, `sethostname("host", 4)`},
	{"Setdomainname", func(b *Batch) { b.Setdomainname("") }, `setdomainname("", 0)`},
	{"JoinSessionKeyring", func(b *Batch) { b.JoinSessionKeyring("_ses.x") }, `keyctl(KEYCTL_JOIN_SESSION_KEYRING, "_ses.x")`},
	{"SessionKeyringPerm", func(b *Batch) { b.SessionKeyringPerm(0x3f1b0000) }, "keyctl(KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, 0x3f1b0000)"},
	{"Personality", func(b *Batch) { b.Personality(8) }, "personality(0x8)"},
	{"Ioprio", func(b *Batch) { b.Ioprio(2, 3) }, "ioprio_set(1, 0, 0x4003)"},
	{"SchedSetattr", func(b *Batch) { b.SchedSetattr(unix.SchedAttr{}) }, "sched_setattr(0, &{…}, 0)"},
	{"SetMempolicy", func(b *Batch) { b.SetMempolicy(2, []uint64{1}) }, "set_mempolicy(0x2, &{…}, 65)"},
	{"SchedSetaffinity", func(b *Batch) { b.SchedSetaffinity([]uint64{3}) }, "sched_setaffinity(0, 8, &{…})"},
	{"Seccomp", func(b *Batch) { b.Seccomp(make([]byte, 8), 1) }, "seccomp(SECCOMP_SET_MODE_FILTER, 0x1, &{…})"},
	{"SeccompListener", func(b *Batch) { b.SeccompListener(make([]byte, 8), 0) }, "seccomp(SECCOMP_SET_MODE_FILTER, 0x8, &{…})"},
	{"Execve", func(b *Batch) { b.Execve("/bin/sh", []string{"sh", "-c", "true"}, []string{"A=b"}) }, `execve("/bin/sh", &{…}, &{…})`},
	{"Execute", func(b *Batch) { b.Execute(&Program{name: "/bin/sh", path: 1, args: 2, env: 3}) }, `execve("/bin/sh", 0x2, 0x3)`},
	{"WriteResult", func(b *Batch) { b.WriteResult(Inherited(5, "status"), b.Setsid()) }, "setsid(); write(<status>, &, 4)"},
	{"AwaitByte", func(b *Batch) { b.AwaitByte(Inherited(5, "start")) }, "read(<start>, &, 1)"},
	{"Exit", func(b *Batch) { b.Exit(255) }, "exit_group(255)"},
	{"ReceiveFiles", func(b *Batch) { b.ReceiveFiles(Inherited(8, "control"), []string{"a"}) }, "recvmsg(<control>, &{…}, 0x40000000)"},
	{"SendFile", func(b *Batch) { b.SendFile(Inherited(8, "control"), b.Open("/", unix.O_PATH)) }, `openat(AT_FDCWD, "/", O_PATH|O_CLOEXEC, 0); ` + copyText() + `sendmsg(<control>, &{…}, 0x4000)`},
}

// cloneText is the text of clone(2). On s390x, the stack is the first argument and the flags are the second.
func cloneText(flags string) string {
	if runtime.GOARCH == "s390x" {
		return "clone(0, " + flags + ", 0, 0, 0)"
	}
	return "clone(" + flags + ", 0, 0, 0, 0)"
}

// copyText is the text of the calls with which a big-endian machine copies a number.
func copyText() string {
	if stub.LowHalf == 0 {
		return ""
	}
	return "getpid(); process_vm_readv(&, &{…}, 1, &{…}, 1, 0); "
}

func TestEveryCallPrints(t *testing.T) {
	var tested []string
	for _, tt := range texts {
		tested = append(tested, tt.method)
		var b Batch
		tt.add(&b)
		var got []string
		for i := range b.calls {
			got = append(got, b.format(i))
		}
		if got := strings.Join(got, "; "); got != tt.want {
			t.Errorf("%s prints as\n %s; want\n %s", tt.method, got, tt.want)
		}
	}
	for _, method := range callMethods(t) {
		if !slices.Contains(tested, method) {
			t.Errorf("%s has no line in the table", method)
		}
	}
}

// callMethods lists the exported methods of Batch that add calls: those in calls_*.go, two in do.go and one in
// program.go.
func callMethods(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("calls_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	out := []string{"ReceiveFiles", "SendFile", "Execute"}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !fn.Name.IsExported() {
				continue
			}
			if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok && star.X.(*ast.Ident).Name == "Batch" {
				out = append(out, fn.Name.Name)
			}
		}
	}
	return out
}

func TestFailedCallSaysAll(t *testing.T) {
	s := start(t.Context(), t)
	var b Batch
	root := b.Open("/", unix.O_PATH)
	root.SetName("rootfs")
	b.Openat2(root, "no/\"such\"\nfile", unix.O_RDONLY, 0, InRoot)
	err := s.Do(&b)
	want := `openat2(<rootfs>, "no/\"such\"\nfile", {O_CLOEXEC, RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS}, 24): no such file or directory`
	if err == nil || err.Error() != want || !errors.Is(err, unix.ENOENT) {
		t.Errorf("Do = %v; want %s", err, want)
	}
}

func TestFormatFlags(t *testing.T) {
	for v, want := range map[uint64]string{
		0: "0", unix.O_PATH: "O_PATH", unix.O_PATH | unix.O_CLOEXEC: "O_PATH|O_CLOEXEC",
		1 << 60: "0x1000000000000000", unix.O_EXCL | 1<<60: "O_EXCL|0x1000000000000000",
	} {
		if got := openFlags.format(v); got != want {
			t.Errorf("format(%#x) = %s; want %s", v, got, want)
		}
	}
	var none *FD
	if got := none.format(); got != "NULL" {
		t.Errorf("no descriptor prints as %s", got)
	}
}

func TestDeathErrorText(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{
		9:         "killed by SIGKILL",
		11:        "killed by SIGSEGV",
		0x6f << 8: "it exited with status 111",
		0x137f:    "its exit status is unknown",
	} {
		err := &DeathError{Status: status, During: "umask(0)"}
		if got := err.Error(); !strings.HasSuffix(got, want) || !strings.Contains(got, "(umask(0))") {
			t.Errorf("status %#x: %q; want … %q", int(status), got, want)
		}
	}
}
