//go:build !cgo && onggi_helper

package helper

import (
	"context"
	_ "embed"

	"github.com/onggi-dev/onggi/internal/helper/packed"
	"github.com/onggi-dev/onggi/internal/helper/subprocess"
)

// image is the program that native makes, packed.
//
//go:embed helper.packed
var image string

// run starts the embedded program.
func run(ctx context.Context, request []byte) ([]byte, error) {
	return subprocess.Run(ctx, image, request)
}

// Identity tells builds of the helper apart, for who keeps what it answered.
func Identity() string { return "helper " + packed.Identity(image) }
