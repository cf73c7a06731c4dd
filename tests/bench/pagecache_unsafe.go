package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore is mincore(2): bit 0 of each byte of present tells whether that page of data is in memory.
func mincore(data, present []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&present[0])))
	if errno != 0 {
		return os.NewSyscallError("mincore", errno)
	}
	return nil
}
