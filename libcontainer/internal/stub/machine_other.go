//go:build !(amd64 || arm64 || loong64 || ppc64le || riscv64 || s390x)

package stub

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The loop is not ported to this machine. The constants let the packages above build.
const (
	Ported = false

	machine, elfFlags, elfData = 0, 0, 0
	LowHalf, CloneFlags        = 0, 0

	sysRecvfrom, sysSendto = unix.SYS_RECVFROM, unix.SYS_SENDTO
)

// empty is a loop without instructions.
var empty = [1]uint64{endMark}

func textAddr() unsafe.Pointer        { return unsafe.Pointer(&empty) }
func counterTextAddr() unsafe.Pointer { return unsafe.Pointer(&empty) }
func clockTextAddr() unsafe.Pointer   { return unsafe.Pointer(&empty) }
