//go:build !cgo && !onggi_helper

package helper

import (
	"context"
	"errors"
)

// Linkage says how this program contains libseccomp.
const Linkage = "none, for want of cgo"

// errNone tells the builder of the program about the missing helper.
var errNone = errors.New("this program was built without libseccomp: it needs cgo, or the build tag onggi_helper")

func run(context.Context, []byte) ([]byte, error) { return nil, errNone }

// Identity is "none" where there is no helper.
func Identity() string { return "none" }
