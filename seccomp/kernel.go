package seccomp

import (
	"fmt"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// checkKernel returns an error if this kernel lacks a flag or an action of the profile.
func checkKernel(set *ruleset.Set, names []specs.LinuxSeccompFlag) error {
	if errno := askFlag(0); errno != unix.EFAULT {
		return fieldError("/linux/seccomp", "no filter can be loaded here: seccomp(SECCOMP_SET_MODE_FILTER): %w", errno)
	}
	for i, name := range names {
		if bit, _ := flagBit(string(name)); !kernelHasFlag(bit) {
			return fieldError(fmt.Sprintf("/linux/seccomp/flags/%d", i), "%s: this kernel does not have it", name)
		}
	}
	if !kernelHasAction(set.Default) {
		return fieldError("/linux/seccomp/defaultAction", "this kernel does not have it")
	}
	for i := range set.Rules {
		if rule := &set.Rules[i]; !kernelHasAction(rule.Action) {
			return fieldError(rule.Pointer+"/action", "this kernel does not have it")
		}
	}
	return nil
}

func kernelHasFlag(flag uint32) bool { return askFlag(flag) == unix.EFAULT }

// askFlag asks the kernel to load the filter at address zero. With known flags
// the kernel gets as far as reading there and returns EFAULT. It loads nothing.
func askFlag(flag uint32) unix.Errno {
	return seccomp(unix.SECCOMP_SET_MODE_FILTER, filterFlags(flag, true), nil)
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

// filterFlags returns the flags of a profile with the changes that the kernel
// needs: TSYNC_ESRCH beside TSYNC, and NEW_LISTENER for a listener.
func filterFlags(flags uint32, listener bool) uint32 {
	if flags&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
		flags |= unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	}
	if listener {
		return flags | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	// WAIT_KILLABLE_RECV is about answering notifications: without a listener
	// the kernel refuses it.
	return flags &^ unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
}
