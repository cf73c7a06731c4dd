package libcontainer

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOneLine(t *testing.T) {
	if oneLine(nil) != nil {
		t.Error("oneLine(nil) is an error")
	}
	joined := &joinedError{[]error{unix.ENOENT, unix.EPERM}}
	got := oneLine(joined)
	if got.Error() != "no such file or directory; operation not permitted" {
		t.Errorf("oneLine = %q", got)
	}
	if single := error(unix.ENOENT); oneLine(single) != single {
		t.Error("oneLine changes what is one line")
	}
}

type joinedError struct{ errs []error }

func (e *joinedError) Error() string { return e.errs[0].Error() + "\n" + e.errs[1].Error() }

func (e *joinedError) Unwrap() []error { return e.errs }
