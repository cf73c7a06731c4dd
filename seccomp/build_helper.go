//go:build !cgo && seccomp_helper

package seccomp

import (
	"context"
	_ "embed"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
	"github.com/onggi-dev/onggi/seccomp/internal/subprocess"
)

// helper is the executable of ./helper, as gzip -9 -n left it.
//
//go:embed helper.gz
var helper string

// build runs the embedded helper.
func build(ctx context.Context, set *ruleset.Set) (*ruleset.Program, error) {
	return subprocess.Build(ctx, helper, set)
}

// builder identifies what build uses, for the keys of the cache: the last eight
// bytes of a gzip file are the checksum and size of what is in it (RFC 1952).
func builder() string { return "helper " + helper[max(0, len(helper)-8):] }
