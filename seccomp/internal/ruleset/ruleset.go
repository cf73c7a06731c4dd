// Package ruleset is the exchange between the translation of a profile and
// libseccomp: a profile in numbers, and the program made of it.
package ruleset

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxInstructions is the longest program that the kernel loads (BPF_MAXINSNS).
const MaxInstructions = unix.BPF_MAXINSNS

// A Set is the part of a profile that libseccomp needs.
type Set struct {
	Default uint32 // SECCOMP_RET_* with its data
	Archs   []Arch // besides the native one
	Rules   []Rule
}

// An Arch is an architecture.
type Arch struct {
	Pointer string // JSON pointer of the element, for errors
	Name    string // SCMP_ARCH_*, likewise
	Token   uint32 // its number in seccomp.h
}

// A Rule is one element of linux.seccomp.syscalls.
type Rule struct {
	Pointer string // JSON pointer of the element, for errors
	Names   []string
	Action  uint32        // SECCOMP_RET_* with its data
	Match   [][]Condition // alternatives; the conditions of one must all hold
}

// A Condition compares one argument of the syscall.
type Condition struct {
	Arg   uint32
	Op    uint32 // SCMP_CMP_*, its number in seccomp.h
	Value uint64
	Two   uint64 // the datum of SCMP_CMP_MASKED_EQ, whose mask is Value
}

// A Program is libseccomp's program for a Set.
type Program struct {
	Code    []byte   // struct sock_filter[], native byte order
	Named   []Named  // one for each architecture of the filter, the native one first
	Unknown []string // names that this libseccomp does not know
	Library string   // its version, "2.5.4"
}

// Named has the numbers of a profile's names on one architecture.
type Named struct {
	Token   uint32
	Numbers []uint32
}

// Check refuses a program that the kernel could not load because of its size.
func (p *Program) Check() error {
	switch n := len(p.Code) / unix.SizeofSockFilter; {
	case n == 0 || len(p.Code)%unix.SizeofSockFilter != 0:
		return fmt.Errorf("libseccomp made a program of %d bytes", len(p.Code))
	case n > MaxInstructions:
		return fieldError("/linux/seccomp", "the filter has %d instructions, more than the %d that the kernel loads", n, MaxInstructions)
	}
	return nil
}

// FieldError is an error about a field of config.json.
type FieldError struct {
	Field string // JSON pointer
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the error without the field.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldError(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}
