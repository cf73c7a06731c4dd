//go:build !cgo && onggi_helper

package helper

import _ "embed"

// image is the program in internal/program, built by `make`.
//
//go:embed helper.loong64
var image string
