package stub

import "golang.org/x/sys/unix"

const (
	machine  = 22 // EM_S390
	elfFlags = 0
	elfData  = 2 // ELFDATA2MSB

	// LowHalf is the offset of the low 32 bits in a result.
	LowHalf = 4
	// CloneFlags is the index of the flags among the arguments of clone(2): CONFIG_CLONE_BACKWARDS2.
	CloneFlags = 1

	sysRecvfrom     = unix.SYS_RECVFROM
	sysSendto       = unix.SYS_SENDTO
	sysExitGroup    = unix.SYS_EXIT_GROUP
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	msgNosignal     = unix.MSG_NOSIGNAL
)
