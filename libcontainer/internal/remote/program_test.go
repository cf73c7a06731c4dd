package remote

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLoad: a program gets its arguments and environment unchanged, whatever their size.
func TestLoad(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	many := make([]string, 20000)
	for i := range many {
		many[i] = "VARIABLE_" + itoa(i) + "=" + strings.Repeat("y", i%50)
	}
	for _, tt := range []struct {
		name      string
		args, env []string
	}{
		{"little", []string{"cat", "/proc/self/cmdline", "/proc/self/environ"}, []string{"A=b"}},
		{"nothing", []string{"cat", "/proc/self/cmdline", "/proc/self/environ"}, nil},
		{"empty strings", []string{"cat", "/proc/self/cmdline", "/proc/self/environ", ""}, []string{"", "A="}},
		{"long strings", []string{"cat", "/proc/self/cmdline", "/proc/self/environ"}, []string{"A=" + long, "B=" + long, "C=" + long}},
		{"many strings", []string{"cat", "/proc/self/cmdline", "/proc/self/environ"}, many},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			s := start(t.Context(), t, nil, w)
			w.Close()
			p, err := s.Load("/bin/cat", tt.args, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			var b Batch
			b.Execute(p)
			if err := s.Send(&b); err != nil {
				t.Fatal(err)
			}
			if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			want := strings.Join(tt.args, "\x00") + "\x00"
			if len(tt.env) > 0 {
				want += strings.Join(tt.env, "\x00") + "\x00"
			}
			if err != nil || !bytes.Equal(got, []byte(want)) {
				t.Errorf("the program wrote %d bytes, %.80q, %v; want %d, %.80q", len(got), got, err, len(want), want)
			}
		})
	}
}

// TestLoadTooMuch: the kernel returns the error for arguments above its limit.
func TestLoadTooMuch(t *testing.T) {
	s := start(t.Context(), t)
	p, err := s.Load("/bin/true", []string{"true", strings.Repeat("x", 200<<10)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	r := b.Execute(p).TolerateAll()
	do(t, s, &b)
	if r.Errno() != unix.E2BIG {
		t.Errorf("execve with an argument of 200 KiB = %v; want E2BIG", r.Errno())
	}
}
