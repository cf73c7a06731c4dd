package stub

import "golang.org/x/sys/unix"

const (
	machine = 62 // EM_X86_64

	sysRecvfrom     = unix.SYS_RECVFROM
	sysSendto       = unix.SYS_SENDTO
	sysExitGroup    = unix.SYS_EXIT_GROUP
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	msgNosignal     = unix.MSG_NOSIGNAL
)
