//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package stub

import "unsafe"

// Ported reports whether the loop exists for this machine.
const Ported = true

// These functions return the address of the loop's first instruction, and those of the
// variants with stamps, in this program's own text. They are written in assembly because
// a Go func value has the address of an ABI wrapper.
func textAddr() unsafe.Pointer
func counterTextAddr() unsafe.Pointer
func clockTextAddr() unsafe.Pointer
