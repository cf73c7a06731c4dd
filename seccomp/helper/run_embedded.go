//go:build !cgo && onggi_helper

package helper

import (
	"context"
	_ "embed"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/inflate"
	"github.com/onggi-dev/onggi/seccomp/helper/internal/subprocess"
)

// image is the program that native makes, as gzip -9 -n left it.
//
//go:embed helper.gz
var image string

// run starts the embedded program.
func run(ctx context.Context, request []byte) ([]byte, error) {
	return subprocess.Run(ctx, image, request)
}

// Identity tells builds of the helper apart, for who keeps what it answered.
func Identity() string { return "helper " + inflate.Identity(image) }
