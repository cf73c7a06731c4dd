package bug

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCaught(t *testing.T) {
	var empty []int
	for _, tt := range []struct {
		name string
		f    func() error
		want []string // parts of the error, in order; nil for success
		is   error
	}{
		{"success", func() error { return nil }, nil, nil},
		{"an error", func() error { return unix.EIO }, []string{"input/output error"}, unix.EIO},
		{"an index", func() error { return errors.New(string(rune(empty[len(empty)]))) }, []string{"BUG: runtime error: index out of range [0] with length 0 (at bug/bug_test.go:", "): please report it"}, nil},
		{"a nil pointer", func() error { return errors.New(short(*(*string)(nil))) }, []string{"BUG: runtime error: invalid memory address"}, nil},
		{"our own", func() error { panic("BUG: no meaning\nfor it") }, []string{"BUG: no meaning for it (at bug/bug_test.go:"}, nil},
		{"an errno", func() error { panic(unix.EIO) }, []string{"BUG: input/output error (at "}, unix.EIO},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := guarded(tt.f)
			if (err == nil) != (tt.want == nil) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("err = %v; want %q, %v", err, tt.want, tt.is)
			}
			if err == nil {
				return
			}
			rest := err.Error()
			for _, part := range tt.want {
				var ok bool
				if _, rest, ok = strings.Cut(rest, part); !ok {
					t.Errorf("Error() = %q; want %q in it, in order", err, tt.want)
				}
			}
			if got, want := Is(err), strings.HasPrefix(err.Error(), "BUG: "); got != want || strings.Contains(err.Error(), "\n") {
				t.Errorf("Is(%q) = %v; want %v, and one line", err, got, want)
			}
		})
	}
}

func guarded(f func() error) (err error) {
	defer Caught(&err)
	return f()
}

// TestCaughtBehindAnError: a deferred function may panic after an error. Caught keeps both.
func TestCaughtBehindAnError(t *testing.T) {
	err := func() (err error) {
		defer Caught(&err)
		defer func() { panic("late") }()
		return unix.ENOENT
	}()
	if !Is(err) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("err = %v; want a bug, and ENOENT", err)
	}
}
