package libcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

func annotated(pairs ...string) *specs.Spec {
	s := &specs.Spec{Annotations: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Annotations[pairs[i]] = pairs[i+1]
	}
	return s
}

func TestAppendHookOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, text := range []string{"one\n", "two\n"} {
		var o hooks.Options
		done, err := appendHookOutput(annotated(specconv.HooksStdout, path), &o)
		if err != nil {
			t.Fatal(err)
		}
		if o.Stderr != nil {
			t.Error("standard error goes to a file that was not asked for")
		}
		if _, err := o.Stdout.WriteString(text); err != nil {
			t.Fatal(err)
		}
		done()
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("the file has %q, %v; want both lines", got, err)
	}
}

func TestAppendHookOutputFails(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]unix.Errno{fifo: unix.ENXIO, filepath.Join(dir, "no/such"): unix.ENOENT, dir: unix.EISDIR} {
		var o hooks.Options
		_, err := appendHookOutput(annotated(specconv.HooksStdout, filepath.Join(dir, "fine"), specconv.HooksStderr, path), &o)
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "/annotations/run.oci.hooks.stderr: ") {
			t.Errorf("appendHookOutput(%s) = %v; want %v", path, err, want)
		}
	}
}

func TestCheckUnknown(t *testing.T) {
	f := seccomp.Filter{Unknown: []string{"frobnicate", "twiddle"}}
	for value, fails := range map[string]bool{"1": true, "0": false} {
		err := checkUnknown(annotated(specconv.SeccompFailUnknownSyscall, value), f)
		if (err != nil) != fails {
			t.Errorf("checkUnknown with %s = %v", value, err)
		}
	}
	if err := checkUnknown(annotated(), f); err != nil {
		t.Errorf("checkUnknown without the annotation = %v", err)
	}
	if err := checkUnknown(annotated(specconv.SeccompFailUnknownSyscall, "1"), seccomp.Filter{}); err != nil {
		t.Errorf("checkUnknown without unknown names = %v", err)
	}
}
