//go:build cgo

package seccomp

import (
	"context"

	"github.com/onggi-dev/onggi/seccomp/internal/libseccomp"
	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// build calls the libseccomp that is linked in.
func build(_ context.Context, set *ruleset.Set) (*ruleset.Program, error) {
	return libseccomp.Build(set)
}

// builder identifies what build uses, for the keys of the cache.
func builder() string { return "libseccomp " + libseccomp.Version() }
