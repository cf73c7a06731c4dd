package engine

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// here returns an inspector whose stub stays in the test's namespaces.
func here(t *testing.T) *inspector {
	t.Helper()
	stub, err := remote.Start(t.Context(), remote.Spawn{Control: 3, Timeout: 10 * time.Second, Argv0: "stub"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stub.Kill)
	return &inspector{ask: stub.Do}
}

func TestInspector(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	file := func(name, data string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(data), mode); err != nil {
			t.Fatal(err)
		}
	}
	const ld = "/no/such/loader/ld-linux.so" // with the NUL 28 bytes, as image says
	interp := own(elf.PT_INTERP)
	interp = append(interp, make([]byte, 0x318-len(interp))...)
	file("dynamic", string(interp)+ld+"\x00"+strings.Repeat("x", 100), 0o755)
	file("plain", "text", 0o644)
	file("static", string(own(elf.PT_LOAD)), 0o755)
	file("text", "text", 0o755)
	file("fine", "#!"+at("static")+"\n", 0o755)
	file("script", "#!"+at("nowhere")+"\n", 0o755)
	file("through", "#!"+at("dynamic")+" -x\n", 0o755)
	file("notexec", "#!"+at("plain")+"\n", 0o755)
	file("crlf", "#!"+at("static")+"\r\n", 0o755)
	file("loop", "#!"+at("loop")+"\n", 0o755)
	os.Symlink("nowhere", at("dangling"))
	os.Symlink("script", at("link"))
	if err := unix.Mkfifo(at("fifo"), 0o755); err != nil {
		t.Fatal(err)
	}

	in := here(t)
	tests := []struct {
		name  string
		errno unix.Errno
		want  string
	}{
		{"", unix.EACCES, "is a directory"},
		{"fifo", unix.EACCES, "is not a regular file"},
		{"plain", unix.EACCES, "has no execute permission (mode 0644)"},
		{"nowhere", unix.ENOENT, "is missing"},
		{"dangling", unix.ENOENT, `is a symlink to "nowhere", which is missing`},
		{"text", unix.ENOEXEC, "is neither an ELF image nor a script with a #! line"},
		{"fine", unix.ENOENT, ""},
		{"static", unix.ENOENT, ""},
		{"script", unix.ENOENT, `has a #! line that names "` + at("nowhere") + `", which is missing`},
		{"link", unix.ENOENT, `has a #! line that names "` + at("nowhere") + `", which is missing`},
		{"notexec", unix.EACCES, `has a #! line that names "` + at("plain") + `", which has no execute permission (mode 0644)`},
		{"dynamic", unix.ENOENT, `needs the ELF interpreter "` + ld + `", which is missing`},
		{"through", unix.ENOENT, `has a #! line that names "` + at("dynamic") + `", which needs the ELF interpreter "` + ld + `", which is missing`},
	}
	for _, tt := range tests {
		if got := in.fault(at(tt.name), tt.errno, maxInterpreters); got != tt.want {
			t.Errorf("fault(%s, %v) = %q; want %q", tt.name, tt.errno, got, tt.want)
		}
	}
	for name, part := range map[string]string{"crlf": "carriage return", "loop": "has too many interpreters"} {
		if got := in.fault(at(name), unix.ENOENT, maxInterpreters); !strings.Contains(got, part) {
			t.Errorf("fault(%s) = %q; want %q in it", name, got, part)
		}
	}
	if got := in.search(plan.FindProgram{Name: "script", Path: "/no/where:" + dir}, unix.ENOENT); !strings.HasPrefix(got, at("script")+" has a #! line") {
		t.Errorf("search(script) = %q", got)
	}
	if got := in.subject(at("nowhere"), unix.ENOENT); got != "" {
		t.Errorf("subject(nowhere) = %q; want nothing: the errno says it", got)
	}
}

func TestFileFault(t *testing.T) {
	tests := []struct {
		mode   uint16
		on     unix.Statfs_t
		access unix.Errno
		want   string
	}{
		{unix.S_IFREG | 0o755, unix.Statfs_t{}, 0, ""},
		{unix.S_IFREG | 0o755, unix.Statfs_t{Flags: unix.ST_NOEXEC}, unix.EACCES, "is on a mount with the option noexec"},
		{unix.S_IFREG | 0o700, unix.Statfs_t{}, unix.EACCES, "is executable for others only (mode 0700, owner 7:8)"},
		{unix.S_IFREG | 0o4644, unix.Statfs_t{}, unix.EACCES, "has no execute permission (mode 4644)"},
		{unix.S_IFDIR | 0o755, unix.Statfs_t{Flags: unix.ST_NOEXEC}, 0, "is a directory"},
		{unix.S_IFCHR | 0o666, unix.Statfs_t{}, 0, "is not a regular file"},
	}
	for _, tt := range tests {
		got := fileFault(unix.Statx_t{Mode: tt.mode, Uid: 7, Gid: 8}, tt.on, tt.access)
		if got != tt.want {
			t.Errorf("fileFault(%o, %#x, %v) = %q; want %q", tt.mode, tt.on.Flags, tt.access, got, tt.want)
		}
	}
}
