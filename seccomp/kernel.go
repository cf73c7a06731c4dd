package seccomp

import (
	"fmt"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// checkKernel asks the kernel for each flag and action that the profile uses.
func checkKernel(set *ruleset.Set, names []specs.LinuxSeccompFlag, flags uint32) error {
	if flags == 0 && !kernelHasFlag(0) {
		return fmt.Errorf("/linux/seccomp: this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)")
	}
	for i, name := range names {
		if bit, _ := flagBit(string(name)); !kernelHasFlag(bit) {
			return fmt.Errorf("/linux/seccomp/flags/%d: %s: this kernel does not have it", i, name)
		}
	}
	if !kernelHasAction(set.Default) {
		return fmt.Errorf("/linux/seccomp/defaultAction: this kernel does not have it")
	}
	for i := range set.Rules {
		if rule := &set.Rules[i]; !kernelHasAction(rule.Action) {
			return fmt.Errorf("%s/action: this kernel does not have it", rule.Pointer)
		}
	}
	return nil
}

// kernelHasFlag asks for a filter at address zero: with flags that the kernel
// knows it gets as far as reading it. Nothing is loaded.
func kernelHasFlag(flag uint32) bool {
	return seccomp(unix.SECCOMP_SET_MODE_FILTER, filterFlags(flag, true), nil) == unix.EFAULT
}

func kernelHasAction(ret uint32) bool {
	action := ret & unix.SECCOMP_RET_ACTION_FULL
	if action == unix.SECCOMP_RET_ALLOW || action == unix.SECCOMP_RET_ERRNO {
		return true // as old as filters
	}
	return seccomp(unix.SECCOMP_GET_ACTION_AVAIL, 0, unsafe.Pointer(&action)) == 0
}

func seccomp(operation, flags uint32, args unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, uintptr(operation), uintptr(flags), uintptr(args))
	return errno
}

// filterFlags completes the flags of a profile with those the kernel wants
// beside them.
func filterFlags(flags uint32, listener bool) uint32 {
	if flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
		flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	if listener {
		return flags | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	// It is about answering notifications, and without any the kernel refuses it.
	return flags &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
}
