//go:build cgo

package answer

import (
	"fmt"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// The binding has numbers of its own. These tables translate the numbers of
// seccomp.h into them.

var archs = []struct {
	token uint32
	arch  libseccomp.ScmpArch
}{
	{unix.AUDIT_ARCH_I386, libseccomp.ArchX86},
	{unix.AUDIT_ARCH_X86_64, libseccomp.ArchAMD64},
	{0x4000003e, libseccomp.ArchX32}, // x32 has no number in the kernel
	{unix.AUDIT_ARCH_ARM, libseccomp.ArchARM},
	{unix.AUDIT_ARCH_AARCH64, libseccomp.ArchARM64},
	{unix.AUDIT_ARCH_MIPS, libseccomp.ArchMIPS},
	{unix.AUDIT_ARCH_MIPS64, libseccomp.ArchMIPS64},
	{unix.AUDIT_ARCH_MIPS64N32, libseccomp.ArchMIPS64N32},
	{unix.AUDIT_ARCH_MIPSEL, libseccomp.ArchMIPSEL},
	{unix.AUDIT_ARCH_MIPSEL64, libseccomp.ArchMIPSEL64},
	{unix.AUDIT_ARCH_MIPSEL64N32, libseccomp.ArchMIPSEL64N32},
	{unix.AUDIT_ARCH_PPC, libseccomp.ArchPPC},
	{unix.AUDIT_ARCH_PPC64, libseccomp.ArchPPC64},
	{unix.AUDIT_ARCH_PPC64LE, libseccomp.ArchPPC64LE},
	{unix.AUDIT_ARCH_S390, libseccomp.ArchS390},
	{unix.AUDIT_ARCH_S390X, libseccomp.ArchS390X},
	{unix.AUDIT_ARCH_PARISC, libseccomp.ArchPARISC},
	{unix.AUDIT_ARCH_PARISC64, libseccomp.ArchPARISC64},
	{unix.AUDIT_ARCH_RISCV64, libseccomp.ArchRISCV64},
	{unix.AUDIT_ARCH_LOONGARCH64, libseccomp.ArchLOONGARCH64},
	{unix.AUDIT_ARCH_M68K, libseccomp.ArchM68K},
	{unix.AUDIT_ARCH_SHEL, libseccomp.ArchSH},
	{unix.AUDIT_ARCH_SH, libseccomp.ArchSHEB},
}

// archOf returns the binding's number of an architecture, ArchInvalid if there is none.
func archOf(token uint32) libseccomp.ScmpArch {
	for _, a := range archs {
		if a.token == token {
			return a.arch
		}
	}
	return libseccomp.ArchInvalid
}

func tokenOf(arch libseccomp.ScmpArch) uint32 {
	for _, a := range archs {
		if a.arch == arch {
			return a.token
		}
	}
	return 0
}

var actions = []struct {
	ret    uint32
	action libseccomp.ScmpAction
	data   bool // the lower 16 bits are an errno, or a message to a tracer
}{
	{unix.SECCOMP_RET_KILL_PROCESS, libseccomp.ActKillProcess, false},
	{unix.SECCOMP_RET_KILL_THREAD, libseccomp.ActKillThread, false},
	{unix.SECCOMP_RET_TRAP, libseccomp.ActTrap, false},
	{unix.SECCOMP_RET_ERRNO, libseccomp.ActErrno, true},
	{unix.SECCOMP_RET_USER_NOTIF, libseccomp.ActNotify, false},
	{unix.SECCOMP_RET_TRACE, libseccomp.ActTrace, true},
	{unix.SECCOMP_RET_LOG, libseccomp.ActLog, false},
	{unix.SECCOMP_RET_ALLOW, libseccomp.ActAllow, false},
}

func actionOf(n uint32) (libseccomp.ScmpAction, error) {
	ret, data := n&unix.SECCOMP_RET_ACTION_FULL, n&unix.SECCOMP_RET_DATA
	for _, a := range actions {
		switch {
		case a.ret != ret:
		case a.data:
			return a.action.SetReturnCode(int16(data)), nil
		case data == 0:
			return a.action, nil
		}
	}
	return libseccomp.ActInvalid, fmt.Errorf("no action is %#x", n)
}

// operators are in the order of their numbers in seccomp.h, which start at 1.
var operators = []libseccomp.ScmpCompareOp{
	libseccomp.CompareInvalid,
	libseccomp.CompareNotEqual, libseccomp.CompareLess, libseccomp.CompareLessOrEqual, libseccomp.CompareEqual,
	libseccomp.CompareGreaterEqual, libseccomp.CompareGreater, libseccomp.CompareMaskedEqual,
}

func operator(n uint32) libseccomp.ScmpCompareOp {
	if int64(n) >= int64(len(operators)) {
		return libseccomp.CompareInvalid
	}
	return operators[n]
}
