// Package ruleset is what crosses between the translation of a profile and
// libseccomp, in one process or between two: a profile in the kernel's numbers,
// and the program made of it. It is data and its JSON form, nothing else.
package ruleset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// MaxInstructions is the longest program that the kernel loads (BPF_MAXINSNS).
const MaxInstructions = unix.BPF_MAXINSNS

// A Set is a profile without anything that libseccomp need not know.
type Set struct {
	Default uint32   `json:"default"` // SECCOMP_RET_* with its data
	Archs   []string `json:"archs"`   // SCMP_ARCH_*, besides the native one
	Rules   []Rule   `json:"rules"`
}

// A Rule is one element of linux.seccomp.syscalls.
type Rule struct {
	Pointer string        `json:"pointer"` // JSON pointer of the element, for errors
	Names   []string      `json:"names"`
	Action  uint32        `json:"action"` // SECCOMP_RET_* with its data
	Match   [][]Condition `json:"match"`  // any of these, each of whose conditions all hold
}

// A Condition compares one argument of the syscall.
type Condition struct {
	Arg   uint   `json:"arg"`
	Op    string `json:"op"` // SCMP_CMP_*
	Value uint64 `json:"value"`
	Two   uint64 `json:"two"` // the datum of SCMP_CMP_MASKED_EQ, whose mask is Value
}

// A Program is what libseccomp made of a Set.
type Program struct {
	Code    []byte   `json:"code"`    // struct sock_filter[], native byte order
	Named   []Named  `json:"named"`   // one an architecture of the filter
	Unknown []string `json:"unknown"` // names that this libseccomp has never heard of
	Library string   `json:"library"` // its version, "2.5.4"
}

// Named is the numbers that the names of a profile have on one architecture.
type Named struct {
	Arch    string   `json:"arch"` // SCMP_ARCH_*
	Numbers []uint32 `json:"numbers"`
}

// Check refuses a program that the kernel could not load whatever it holds.
func (p *Program) Check() error {
	switch n := len(p.Code) / unix.SizeofSockFilter; {
	case n == 0 || len(p.Code)%unix.SizeofSockFilter != 0:
		return fmt.Errorf("libseccomp made a program of %d bytes", len(p.Code))
	case n > MaxInstructions:
		return fmt.Errorf("/linux/seccomp: the filter has %d instructions, more than the %d that the kernel loads", n, MaxInstructions)
	}
	return nil
}

// Limits of what crosses, in bytes. The largest profile in use is some 20 KiB;
// a reply holds at most 32 KiB of program, in base64, and names out of the
// request.
const (
	maxRequest = 16 << 20
	MaxReply   = 32 << 20
)

type reply struct {
	Program *Program `json:"program,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// WriteSet sends a request.
func WriteSet(w io.Writer, s *Set) error { return json.NewEncoder(w).Encode(s) }

// ReadSet receives a request.
func ReadSet(r io.Reader) (*Set, error) {
	s := new(Set)
	return s, read(r, maxRequest, s)
}

// WriteReply sends a program, or the error there is instead.
func WriteReply(w io.Writer, p *Program, err error) error {
	if err != nil {
		return json.NewEncoder(w).Encode(reply{Error: err.Error()})
	}
	return json.NewEncoder(w).Encode(reply{Program: p})
}

// ReadReply receives what WriteReply sent: a program, or the error there was
// instead (refusal). err is about the reply itself.
func ReadReply(r io.Reader) (p *Program, refusal, err error) {
	var got reply
	if err := read(r, MaxReply, &got); err != nil {
		return nil, nil, err
	}
	if got.Error != "" {
		return nil, errors.New(got.Error), nil
	}
	if got.Program == nil {
		return nil, nil, errors.New("no program")
	}
	return got.Program, got.Program.Check(), nil
}

func read(r io.Reader, limit int64, v any) error {
	return json.NewDecoder(io.LimitReader(r, limit)).Decode(v)
}
