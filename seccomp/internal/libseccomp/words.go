//go:build cgo

package libseccomp

import (
	"fmt"

	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// archs holds libseccomp's word for each architecture of the runtime
// specification. The library may be too old for some: it says so itself.
var archs = []struct {
	name string
	arch seccomp.ScmpArch
}{
	{"SCMP_ARCH_X86", seccomp.ArchX86},
	{"SCMP_ARCH_X86_64", seccomp.ArchAMD64},
	{"SCMP_ARCH_X32", seccomp.ArchX32},
	{"SCMP_ARCH_ARM", seccomp.ArchARM},
	{"SCMP_ARCH_AARCH64", seccomp.ArchARM64},
	{"SCMP_ARCH_MIPS", seccomp.ArchMIPS},
	{"SCMP_ARCH_MIPS64", seccomp.ArchMIPS64},
	{"SCMP_ARCH_MIPS64N32", seccomp.ArchMIPS64N32},
	{"SCMP_ARCH_MIPSEL", seccomp.ArchMIPSEL},
	{"SCMP_ARCH_MIPSEL64", seccomp.ArchMIPSEL64},
	{"SCMP_ARCH_MIPSEL64N32", seccomp.ArchMIPSEL64N32},
	{"SCMP_ARCH_PPC", seccomp.ArchPPC},
	{"SCMP_ARCH_PPC64", seccomp.ArchPPC64},
	{"SCMP_ARCH_PPC64LE", seccomp.ArchPPC64LE},
	{"SCMP_ARCH_S390", seccomp.ArchS390},
	{"SCMP_ARCH_S390X", seccomp.ArchS390X},
	{"SCMP_ARCH_PARISC", seccomp.ArchPARISC},
	{"SCMP_ARCH_PARISC64", seccomp.ArchPARISC64},
	{"SCMP_ARCH_RISCV64", seccomp.ArchRISCV64},
	{"SCMP_ARCH_LOONGARCH64", seccomp.ArchLOONGARCH64},
	{"SCMP_ARCH_M68K", seccomp.ArchM68K},
	{"SCMP_ARCH_SH", seccomp.ArchSH},
	{"SCMP_ARCH_SHEB", seccomp.ArchSHEB},
}

func archOf(name string) seccomp.ScmpArch {
	for _, a := range archs {
		if a.name == name {
			return a.arch
		}
	}
	return seccomp.ArchInvalid
}

func archName(arch seccomp.ScmpArch) string {
	for _, a := range archs {
		if a.arch == arch {
			return a.name
		}
	}
	return ""
}

// operators holds libseccomp's word for each operator of the runtime specification.
var operators = []struct {
	name string
	op   seccomp.ScmpCompareOp
}{
	{"SCMP_CMP_NE", seccomp.CompareNotEqual},
	{"SCMP_CMP_LT", seccomp.CompareLess},
	{"SCMP_CMP_LE", seccomp.CompareLessOrEqual},
	{"SCMP_CMP_EQ", seccomp.CompareEqual},
	{"SCMP_CMP_GE", seccomp.CompareGreaterEqual},
	{"SCMP_CMP_GT", seccomp.CompareGreater},
	{"SCMP_CMP_MASKED_EQ", seccomp.CompareMaskedEqual},
}

func operator(name string) seccomp.ScmpCompareOp {
	for _, o := range operators {
		if o.name == name {
			return o.op
		}
	}
	return seccomp.CompareInvalid
}

func conditions(rule *ruleset.Rule) ([][]seccomp.ScmpCondition, error) {
	var alternatives [][]seccomp.ScmpCondition
	for _, match := range rule.Match {
		var all []seccomp.ScmpCondition
		for _, c := range match {
			condition, err := seccomp.MakeCondition(c.Arg, operator(c.Op), c.Value, c.Two)
			if err != nil {
				return nil, fmt.Errorf("%s/args: libseccomp %s: %w", rule.Pointer, Version(), err)
			}
			all = append(all, condition)
		}
		alternatives = append(alternatives, all)
	}
	return alternatives, nil
}

// action is libseccomp-golang's form of a SECCOMP_RET_* value.
func action(ret uint32) seccomp.ScmpAction {
	data := int16(ret & unix.SECCOMP_RET_DATA)
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_KILL_PROCESS:
		return seccomp.ActKillProcess
	case unix.SECCOMP_RET_KILL_THREAD:
		return seccomp.ActKillThread
	case unix.SECCOMP_RET_TRAP:
		return seccomp.ActTrap
	case unix.SECCOMP_RET_ERRNO:
		return seccomp.ActErrno.SetReturnCode(data)
	case unix.SECCOMP_RET_USER_NOTIF:
		return seccomp.ActNotify
	case unix.SECCOMP_RET_TRACE:
		return seccomp.ActTrace.SetReturnCode(data)
	case unix.SECCOMP_RET_LOG:
		return seccomp.ActLog
	case unix.SECCOMP_RET_ALLOW:
		return seccomp.ActAllow
	}
	return seccomp.ActInvalid
}
