//go:build cgo

// Package answer is the helper's side: it reads a request and makes the reply,
// with libseccomp for a filter and with package regexp for an expression.
//
// It is the only package that links C, and it is empty without cgo. filter.go
// asks libseccomp, by its Go binding; pattern.go matches.
package answer

import "github.com/onggi-dev/onggi/seccomp/helper/internal/wire"

// Answer makes the reply to a request. It cannot be interrupted.
func Answer(request []byte) []byte {
	in := wire.Read(request)
	switch in.Number() {
	case wire.Filter:
		return filter(in).Bytes()
	case wire.Pattern:
		return pattern(in).Bytes()
	}
	return wire.Reply{Status: wire.BadRequest}.Bytes()
}
