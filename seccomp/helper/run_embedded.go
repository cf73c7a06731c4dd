//go:build !cgo && onggi_helper

package helper

import (
	"context"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/subprocess"
)

// Linkage says how this program contains libseccomp.
const Linkage = "in an embedded helper"

// identity is a hash of the embedded program. The linker sets it: -X
// …/seccomp/helper.identity=…; otherwise it is empty.
var identity string

// Identity distinguishes builds of the helper, for callers that keep its answers.
// It is empty if the helper's hash is unknown; then callers must not keep answers.
func Identity() string {
	if identity == "" {
		return ""
	}
	return "helper " + identity
}

// run starts the embedded program.
func run(ctx context.Context, request []byte) ([]byte, error) {
	return subprocess.Run(ctx, image, request)
}
