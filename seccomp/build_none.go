//go:build !cgo && !seccomp_helper

package seccomp

import (
	"context"
	"errors"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// errNoBuilder tells whoever built the program what it lacks.
var errNoBuilder = errors.New("/linux/seccomp: this program was built without libseccomp: it needs cgo, or the build tag seccomp_helper")

func build(context.Context, *ruleset.Set) (*ruleset.Program, error) {
	return nil, errNoBuilder
}

func builder() string { return "none" }
