package cgroup

import (
	"errors"
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestFieldOfADeviceRule(t *testing.T) {
	for _, tt := range []struct {
		rule        specs.LinuxDeviceCgroup
		field, rest string
	}{
		{specs.LinuxDeviceCgroup{Type: "x"}, "/type", `"x" is not a, b or c`},
		{specs.LinuxDeviceCgroup{Access: "rx"}, "/access", `"rx" has a letter other than r, w and m`},
		{specs.LinuxDeviceCgroup{Type: "c", Major: new(int64(-7))}, "", "no such device number"},
	} {
		_, err := newPolicy([]specs.LinuxDeviceCgroup{{Type: "a"}, tt.rule})
		if field, rest := SplitField(err); field != resources+"/devices/1"+tt.field || rest.Error() != tt.rest {
			t.Errorf("%+v: %q, %v; want .../devices/1%s, %s", tt.rule, field, rest, tt.field, tt.rest)
		}
	}
}

func TestSplitField(t *testing.T) {
	const pids = resources + "/pids/limit"
	refused := fieldError(resources+"/unified/a: b", "no such file")
	file := &FileError{Field: pids, Op: "write", Path: "/c/pids.max", Value: "x", Err: unix.EINVAL}
	for _, tt := range []struct {
		name        string
		err         error
		field, rest string
	}{
		{"a name with a colon", refused, resources + "/unified/a: b", "no such file"},
		{"a file", file, pids, `failed to write "x": write /c/pids.max: invalid argument`},
		{"a file without a field", &FileError{Op: "open", Path: "/c", Err: unix.ENOENT}, "", "open /c: no such file or directory"},
		{"the only one of several", oneLine([]error{refused}), resources + "/unified/a: b", "no such file"},
		{"several", oneLine([]error{refused, fieldError(pids, "too large")}), resources + "/unified/a: b", "no such file; " + pids + ": too large"},
		{"about more than a field", fmt.Errorf("not restored (%w): %w", unix.EIO, refused), "", "not restored (input/output error): " + refused.Error()},
		{"a text that looks like one", errors.New("/linux/resources: text"), "", "/linux/resources: text"},
	} {
		field, rest := SplitField(tt.err)
		if field != tt.field || rest.Error() != tt.rest {
			t.Errorf("%s: SplitField = %q, %q; want %q, %q", tt.name, field, rest, tt.field, tt.rest)
		}
		if field != "" && tt.err.Error() != field+": "+rest.Error() {
			t.Errorf("%s: the error %q is more than its two parts", tt.name, tt.err)
		}
	}
}
