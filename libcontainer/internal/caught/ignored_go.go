//go:build !cgo

package caught

const hasC = false
