package tests

import (
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A profile may deny every call by which the first process could end or report an error. The process must end at once all
// the same, and start must not report success.
func TestProfilesThatDenyTheEnd(t *testing.T) {
	peerFails(t, "runc", "needs other calls for itself")
	for _, tt := range []struct {
		denied     string
		noNewPrivs bool
		text       string
	}{
		{"execve", true, "operation not permitted"},
		{"execve exit_group", true, "operation not permitted"},
		{"execve write", true, "could neither execute the program nor report the error"},
		{"execve write exit_group", true, "could neither execute the program nor report the error"},
		{"exit_group", false, ""}, // concerns only the program
		{"exit_group write", false, "write("},
		{"exit_group capset", false, "capset("},
		{"exit_group execve write capset sendto", false, "/linux/seccomp: (the profile probably denies"},
	} {
		t.Run(tt.denied, func(t *testing.T) {
			c := newContainer(t, args("sleep", "1000"), func(s *specs.Spec) {
				s.Process.NoNewPrivileges = tt.noNewPrivs
				s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: strings.Fields(tt.denied), Action: specs.ActErrno}}}
			})
			r := c.verb(c.withFlags("run", "--detach")...)
			if r.took > slowly(5*time.Second) {
				t.Errorf("it took %v: %v", r.took, r)
			}
			if tt.text != "" {
				refused(t, r, 1, tt.text)
			}
		})
	}
}
