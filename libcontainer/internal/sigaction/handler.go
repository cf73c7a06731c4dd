//go:build amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x

package sigaction

// handlerAddress returns the address of the handler. The handler follows the
// kernel's convention: signal, siginfo_t and ucontext_t in the first three
// registers.
func handlerAddress() uintptr
