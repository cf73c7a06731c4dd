package main

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// obstacles holds objects that CRIU dumps only with a flag: a file lock, established TCP connections, and a large removed
// file. With the argument "io_uring" it also holds an io_uring, which CRIU cannot dump. A pair of Unix sockets inside of the
// container is no obstacle. It creates the file /tmp/ready at the end.
func obstacles(args []string) error {
	lock, err := os.Create("/tmp/lock")
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	ghost, err := os.Create("/tmp/ghost")
	if err != nil {
		return err
	}
	if _, err := ghost.Write(make([]byte, 2<<20)); err != nil {
		return err
	}
	if err := os.Remove("/tmp/ghost"); err != nil {
		return err
	}
	if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
		return err
	}
	if err := connected(); err != nil {
		return err
	}
	if slices.Contains(args, "io_uring") {
		var params [120]byte // struct io_uring_params
		if _, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0); errno != 0 {
			return os.WriteFile("/tmp/ready", []byte(errno.Error()), 0o644)
		}
	}
	if err := os.WriteFile("/tmp/ready", nil, 0o644); err != nil {
		return err
	}
	for {
		unix.Pause()
	}
}

// connected makes a TCP connection over loopback.
func connected() error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(listener, 1); err != nil {
		return err
	}
	address, err := unix.Getsockname(listener)
	if err != nil {
		return err
	}
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(client, address); err != nil {
		return err
	}
	_, _, err = unix.Accept(listener)
	return err
}
