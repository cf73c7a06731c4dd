package specconv

import (
	"strings"
	"testing"
)

func TestAnnotations(t *testing.T) {
	tests := []struct {
		name  string
		value string
		want  string // "": the value is valid
	}{
		{KeepOriginalGroups, "1", ""},
		{KeepOriginalGroups, "0", ""},
		{KeepOriginalGroups, "yes", `"yes" is neither 0 nor 1`},
		{SeccompFailUnknownSyscall, "", `"" is neither 0 nor 1`},
		{DelegateCgroup, "init", ""},
		{DelegateCgroup, "/payload/init/", ""},
		{DelegateCgroup, "", "is not the path of a cgroup"},
		{DelegateCgroup, "/", "is not the path of a cgroup"},
		{DelegateCgroup, "a/../../b", "is not the path of a cgroup"},
		{DelegateCgroup, "./a", "is not the path of a cgroup"},
		{DelegateCgroup, "..", "is not the path of a cgroup"},
		{DelegateCgroup, "a\nb", "newline"},
		{HooksStdout, "/var/log/hooks", ""},
		{HooksStderr, "hooks", "is not an absolute path"},
		{HooksStderr, "/a\x00b", "is not an absolute path"},
		{PidfdReceiver, "/run/s", ""},
		{PidfdReceiver, "@abstract", "is not an absolute path"},
		{MountContextType, "rootcontext", ""},
		{MountContextType, "label", "is not context, fscontext"},
		{"run.oci.something.else", "anything", ""},
	}
	for _, tt := range tests {
		s := valid()
		s.Annotations = map[string]string{tt.name: tt.value}
		err := Validate(s)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s = %q: %v; want no error", tt.name, tt.value, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "/annotations/"+tt.name) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s = %q: %v; want %q", tt.name, tt.value, err, tt.want)
		}
	}
}

func TestKnownAnnotationsAreChecked(t *testing.T) {
	for _, name := range KnownAnnotations() {
		s := valid()
		s.Annotations = map[string]string{name: "\x00"}
		if Validate(s) == nil {
			t.Errorf("%s takes a NUL", name)
		}
	}
}
