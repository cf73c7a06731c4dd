package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attributes prints the attributes of a process beside its ids, one "name=value" a line. They are the first thread's: other
// threads may have others (SCHED_FLAG_RESET_ON_FORK).
func attributes([]string) error {
	self := os.Getpid()
	sched, err := unix.SchedGetAttr(self, 0)
	if err != nil {
		return err
	}
	fmt.Printf("scheduler=%d nice %d priority %d flags %#x %d/%d/%d\n",
		sched.Policy, sched.Nice, sched.Priority, sched.Flags, sched.Runtime, sched.Deadline, sched.Period)

	ioprio, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(self), 0) // IOPRIO_WHO_PROCESS
	if errno != 0 {
		return errno
	}
	fmt.Printf("ioprio=%d:%d\n", ioprio>>13, ioprio&7)

	var mode int32
	var nodes [16]uint64
	_, _, errno = unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), uintptr(unsafe.Pointer(&nodes)), 1024, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	fmt.Printf("mempolicy=%#x nodes %#x\n", mode, nodes[0])

	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(self, &cpus); err != nil {
		return err
	}
	fmt.Printf("cpus=%#x\n", cpus[0])

	domain, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	if errno != 0 {
		return errno
	}
	fmt.Printf("personality=%#x\n", domain)

	for name, clock := range map[string]int32{"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME} {
		var now unix.Timespec
		if err := unix.ClockGettime(clock, &now); err != nil {
			return err
		}
		fmt.Printf("%s=%d\n", name, now.Sec)
	}
	return nil
}
