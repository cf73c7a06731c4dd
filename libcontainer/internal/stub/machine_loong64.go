package stub

import "golang.org/x/sys/unix"

const (
	machine  = 258  // EM_LOONGARCH
	elfFlags = 0x43 // LP64D, object ABI 1 (LoongArch ELF psABI, e_flags)
	elfData  = 1    // ELFDATA2LSB

	// LowHalf is the offset of the low 32 bits in a result.
	LowHalf = 0
	// CloneFlags is the index of the flags among the arguments of clone(2).
	CloneFlags = 0

	sysRecvfrom     = unix.SYS_RECVFROM
	sysSendto       = unix.SYS_SENDTO
	sysExitGroup    = unix.SYS_EXIT_GROUP
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	msgNosignal     = unix.MSG_NOSIGNAL
)
