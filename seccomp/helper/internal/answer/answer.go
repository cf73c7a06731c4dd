//go:build cgo

// Package answer is the helper's side. It reads a request and makes the reply,
// with libseccomp for a filter and with package regexp for an expression.
//
// No other package links C. Without cgo this package is empty. filter.go asks
// libseccomp through its Go binding; pattern.go matches expressions.
package answer

import "github.com/onggi-dev/onggi/seccomp/helper/internal/wire"

// Answer returns the reply to a request. It cannot be interrupted.
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
