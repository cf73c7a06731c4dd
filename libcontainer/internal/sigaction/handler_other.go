//go:build !(amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x)

package sigaction

// action is the kernel's struct sigaction.
type action struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

func restoring(a action) action { return a }

// handlerAddress is SIG_DFL: the handler is not ported to this machine, and
// signals keep their default effect.
func handlerAddress() uintptr { return 0 }
