//go:build cgo

package sigaction

// hasC reports whether C code may have changed the action of a signal.
const hasC = true
