package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// childInfo is the siginfo_t of waitid(2) on 64-bit machines:
//
//	 0  si_signo  si_errno  si_code  (padding)
//	16  si_pid    si_uid    si_status …
//
// x/sys/unix has its size but no names for these fields.
type childInfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	_                  [unsafe.Sizeof(unix.Siginfo{}) - 20]byte
}

// endedChild returns the pid of a child that has ended and was not reaped yet, or 0.
func endedChild() int {
	var info childInfo
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return 0
	}
	return int(info.pid)
}
