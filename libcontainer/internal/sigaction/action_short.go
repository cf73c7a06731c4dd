//go:build riscv64 || loong64

package sigaction

// action is the kernel's struct sigaction, which has no restorer on these
// machines: the handler returns to the kernel's own code, in the vDSO.
type action struct {
	handler uintptr
	flags   uint64
	mask    uint64
}

func restoring(a action) action { return a }
