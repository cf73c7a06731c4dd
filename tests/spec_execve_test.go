package tests

import (
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// program writes an executable file into the rootfs.
func (c *container) program(path, data string, mode os.FileMode) {
	c.t.Helper()
	c.write("rootfs/"+path, data)
	if err := os.Chmod(filepath.Join(c.rootfs, path), mode); err != nil {
		c.t.Fatal(err)
	}
}

// dynamic is a program of this machine that needs an interpreter.
func dynamic(t *testing.T) (data, interpreter string) {
	t.Helper()
	for _, path := range []string{"/usr/bin/env", "/bin/ls", "/bin/cat"} {
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		defer f.Close()
		for _, p := range f.Progs {
			if p.Type != elf.PT_INTERP {
				continue
			}
			name, err := io.ReadAll(p.Open())
			raw, err2 := os.ReadFile(path)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			return string(raw), strings.TrimRight(string(name), "\x00")
		}
	}
	t.Skip("this machine has no dynamically linked program to take")
	return "", ""
}

// The errno of execve(2) is one word. run, start and exec explain it in a sentence.
func TestWhyAProgramCannotBeExecuted(t *testing.T) {
	peersLack(t, "repeats the errno")
	native, interpreter := dynamic(t)
	foreign := append([]byte(nil), native...)
	foreign[18], foreign[19] = 0xf3, 0 // EM_RISCV
	const missing, format = "no such file or directory", "exec format error"
	tests := []struct {
		name, data string
		last       string
		texts      []string
	}{
		{"interpreter of an ELF image", native, missing, []string{"/bin/it needs the ELF interpreter \"" + interpreter + "\", which is missing"}},
		{"interpreter of a script", "#!/no/such/shell -e\n", missing, []string{`/bin/it has a #! line that names "/no/such/shell", which is missing`}},
		{"interpreter of an interpreter", "#!/bin/second\n", missing, []string{`names "/bin/second", which has a #! line that names "/no/third", which is missing`}},
		{"carriage return", "#!/bin/sh\r\necho\r\n", missing, []string{"carriage return"}},
		{"another machine", string(foreign), format, []string{"/bin/it is a program for RISC-V, and this machine is"}},
		{"no format", "\x00\x01\x02", format, []string{"neither an ELF image nor a script"}},
		{"empty", "", format, []string{"/bin/it is empty"}},
		{"script with an interpreter that is not executable", "#!/etc/passwd\n", "permission denied", []string{`names "/etc/passwd", which has no execute permission (mode 0644)`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, args("/bin/it"))
			c.program("bin/it", test.data, 0o755)
			c.program("bin/second", "#!/no/third\n", 0o755)
			c.runFails().has(t, "/process/args/0", test.last, test.texts...)

			c.create()
			c.fails("start", c.id).has(t, "/process/args/0", test.last, test.texts...)
			c.stopped()
			c.must("delete", c.id)

			c.edit(args("sleep", "1000"))
			c.create()
			c.start()
			c.fails("exec", c.id, "/bin/it").has(t, "/process/args/0", test.last, test.texts...)
			// The user may not read all directories of PATH.
			c.fails("exec", "--user", "1000:1000", c.id, "it").has(t, "/process/args/0", test.last, test.texts...)
			if c.status() != "running" {
				t.Errorf("status = %s; want running", c.status())
			}
		})
	}
}

// create reports an error that is known before execve, and leaves nothing.
func TestWhyAProgramIsRefusedByCreate(t *testing.T) {
	peersLack(t, "repeats the errno")
	const denied = "permission denied"
	noexec := mount(specs.Mount{Destination: "/opt", Type: "bind", Source: "volume", Options: []string{"bind", "noexec"}})
	tests := []struct {
		name, command string
		last          string
		texts         []string
		edits         []edit
	}{
		{"directory", "/bin", denied, []string{`exec: "/bin": is a directory`}, nil},
		{"no permission", "/etc/passwd", denied, []string{"/etc/passwd has no execute permission (mode 0644)"}, nil},
		{"others' permission", "/private", denied, []string{"/private is executable for others only (mode 0700, owner 0:0)"}, []edit{func(s *specs.Spec) {
			s.Process.User.UID, s.Process.User.GID = 1000, 1000
			s.Process.Capabilities = &specs.LinuxCapabilities{}
		}}},
		{"noexec", "/opt/it", denied, []string{"/opt/it is on a mount with the option noexec"}, []edit{noexec}},
		{"noexec by PATH", "it", denied, []string{"/opt/it is on a mount with the option noexec"}, []edit{noexec, func(s *specs.Spec) { s.Process.Env = []string{"PATH=/bin:/opt"} }}},
		{"dangling link", "/link", "no such file or directory", []string{`/link is a symlink to "/usr/gone", which is missing`}, nil},
		{"fifo", "/fifo", denied, []string{"/fifo"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newContainer(t, append(test.edits, args(test.command))...)
			c.write("volume/it", "#!/bin/sh\n")
			os.Chmod(filepath.Join(c.bundle, "volume/it"), 0o755)
			c.program("private", "#!/bin/sh\n", 0o700)
			os.Symlink("/usr/gone", filepath.Join(c.rootfs, "link"))
			if err := unix.Mkfifo(filepath.Join(c.rootfs, "fifo"), 0o755); err != nil {
				t.Fatal(err)
			}
			c.fails(c.withFlags("create")...).has(t, "/process/args/0", test.last, test.texts...)
			if r := c.verb("state", c.id); r.code != 1 {
				t.Errorf("a container was left: %v", r)
			}
		})
	}
}

// The explanation also works if the files are visible only from a user namespace, and if a filter forbids the process
// nearly all calls.
func TestWhyInAUserNamespace(t *testing.T) {
	peersLack(t, "repeats the errno")
	c := newContainer(t, args("/bin/it"), userNamespace(100000))
	c.program("bin/it", "#!/no/such/shell\n", 0o755)
	c.runFails().has(t, "/process/args/0", "no such file or directory", `"/no/such/shell", which is missing`)
}

func TestWhyBehindAFilter(t *testing.T) {
	peersLack(t, "repeats the errno")
	c := newContainer(t, args("/bin/it"), func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActKillProcess,
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"execve", "read", "write", "exit_group"}, Action: specs.ActAllow}},
		}
	})
	c.program("bin/it", "#!/no/such/shell\n", 0o755)
	c.runFails().has(t, "/process/args/0", "no such file or directory", `"/no/such/shell", which is missing`)
}
