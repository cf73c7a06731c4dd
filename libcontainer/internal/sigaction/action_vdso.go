//go:build ppc64le || s390x

package sigaction

// action is the kernel's struct sigaction, which differs from libc's.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr // unused: the handler returns to the kernel's own code, in the vDSO
	mask     uint64
}

func restoring(a action) action { return a }
