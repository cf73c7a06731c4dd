package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNameLimit(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "<nil>"},
		{unix.EPERM, "operation not permitted"},
		{fmt.Errorf("open x: %w", unix.EMFILE), "(the limit of open files, RLIMIT_NOFILE, is N for the runtime: raise it): open x: too many open files"},
		{&Failure{Step: "bring lo up", Syscall: "socket()", Errno: unix.EMFILE}, "bring lo up: socket(): (the limit of open files, RLIMIT_NOFILE, is N for the runtime: raise it): too many open files"},
	} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		err := tt.err
		nameLimit(&err)
		if want := strings.ReplaceAll(tt.want, " N ", fmt.Sprintf(" %d ", limit.Cur)); fmt.Sprint(err) != want || !errors.Is(err, tt.err) {
			t.Errorf("nameLimit(%v) = %v; want %s", tt.err, err, want)
		}
	}
}

func TestReadStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/zero", "/dev/null", file} {
		if data, err := readStart(path, 1000); err != nil || path == "/dev/zero" != (len(data) == 1000) {
			t.Errorf("readStart(%s) = %d bytes, %v", path, len(data), err)
		}
	}
	if _, err := readStart(file+"-not", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("readStart of no file = %v", err)
	}
}
