package stub

import "golang.org/x/sys/unix"

const (
	machine = 183 // EM_AARCH64

	sysRecvfrom     = unix.SYS_RECVFROM
	sysSendto       = unix.SYS_SENDTO
	sysExitGroup    = unix.SYS_EXIT_GROUP
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	msgNosignal     = unix.MSG_NOSIGNAL
)
