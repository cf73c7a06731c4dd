//go:build !cgo && onggi_helper

package helper

import (
	"context"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/subprocess"
)

// Linkage says how this program came by libseccomp.
const Linkage = "in an embedded helper"

// identity is a hash of the embedded program, which the linker is told: -X
// …/seccomp/helper.identity=…; else empty.
var identity string

// Identity tells builds of the helper apart, for those who keep its answers. A
// helper without a name has none to keep.
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
