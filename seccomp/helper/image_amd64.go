//go:build !cgo && onggi_helper

package helper

import _ "embed"

// image is the program in internal/program, as `make` builds it.
//
//go:embed helper.amd64
var image string
