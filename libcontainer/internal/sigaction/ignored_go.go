//go:build !cgo

package sigaction

const hasC = false
