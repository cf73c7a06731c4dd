package ttrpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// Code is a status code of gRPC. containerd branches on the codes.
type Code int32

// The codes that a shim uses.
const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
)

// Error is an error with a code.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Text }

// Errorf returns an Error. format should end with the text of containerd's own error for the
// code, because engines search for it.
func Errorf(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// statusOf returns the status for an error, and nil for nil.
func statusOf(err error) *wire.RPCStatus {
	if err == nil {
		return nil
	}
	code := Unknown
	var e *Error
	switch {
	case errors.As(err, &e):
		code = e.Code
	case errors.Is(err, context.DeadlineExceeded):
		code = DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = Canceled
	}
	return &wire.RPCStatus{Code: int32(code), Message: err.Error()}
}

// errorOf returns the error for a status: the reverse of statusOf.
func errorOf(s *wire.RPCStatus) error {
	if s == nil || Code(s.Code) == OK {
		return nil
	}
	return &Error{Code(s.Code), s.Message}
}
