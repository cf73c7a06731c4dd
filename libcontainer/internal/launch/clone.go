//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package launch

// clone blocks all signals, executes area.slack and area.clone, and returns its result or a negative
// errno. In the child, where that result is 0, it does not return. There it executes the
// calls behind the area until one fails, records the failure, and exits.
//
//go:noescape
func clone(a *area) int64
