package seccomp

import "golang.org/x/sys/unix"

// These tables have the words of the runtime specification, in its order.

var actions = []struct {
	name  string
	ret   uint32
	errno bool // the action carries an errno (for TRACE: the tracer's message)
}{
	{"SCMP_ACT_KILL", unix.SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", unix.SECCOMP_RET_KILL_PROCESS, false},
	{"SCMP_ACT_KILL_THREAD", unix.SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_TRAP", unix.SECCOMP_RET_TRAP, false},
	{"SCMP_ACT_ERRNO", unix.SECCOMP_RET_ERRNO, true},
	{"SCMP_ACT_TRACE", unix.SECCOMP_RET_TRACE, true},
	{"SCMP_ACT_ALLOW", unix.SECCOMP_RET_ALLOW, false},
	{"SCMP_ACT_LOG", unix.SECCOMP_RET_LOG, false},
	{"SCMP_ACT_NOTIFY", unix.SECCOMP_RET_USER_NOTIF, false},
}

var flagBits = []struct {
	name string
	bit  uint32
}{
	{"SECCOMP_FILTER_FLAG_TSYNC", unix.SECCOMP_FILTER_FLAG_TSYNC},
	{"SECCOMP_FILTER_FLAG_LOG", unix.SECCOMP_FILTER_FLAG_LOG},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
}

// operators are in the order of their numbers in seccomp.h, which start at 1.
var operators = []string{
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
}

type arch struct {
	name  string
	audit uint32 // its value in seccomp_data
}

var archs = []arch{
	{"SCMP_ARCH_X86", unix.AUDIT_ARCH_I386},
	{"SCMP_ARCH_X86_64", unix.AUDIT_ARCH_X86_64},
	{"SCMP_ARCH_X32", unix.AUDIT_ARCH_X86_64}, // bit 30 of the number tells it from x86_64
	{"SCMP_ARCH_ARM", unix.AUDIT_ARCH_ARM},
	{"SCMP_ARCH_AARCH64", unix.AUDIT_ARCH_AARCH64},
	{"SCMP_ARCH_MIPS", unix.AUDIT_ARCH_MIPS},
	{"SCMP_ARCH_MIPS64", unix.AUDIT_ARCH_MIPS64},
	{"SCMP_ARCH_MIPS64N32", unix.AUDIT_ARCH_MIPS64N32},
	{"SCMP_ARCH_MIPSEL", unix.AUDIT_ARCH_MIPSEL},
	{"SCMP_ARCH_MIPSEL64", unix.AUDIT_ARCH_MIPSEL64},
	{"SCMP_ARCH_MIPSEL64N32", unix.AUDIT_ARCH_MIPSEL64N32},
	{"SCMP_ARCH_PPC", unix.AUDIT_ARCH_PPC},
	{"SCMP_ARCH_PPC64", unix.AUDIT_ARCH_PPC64},
	{"SCMP_ARCH_PPC64LE", unix.AUDIT_ARCH_PPC64LE},
	{"SCMP_ARCH_S390", unix.AUDIT_ARCH_S390},
	{"SCMP_ARCH_S390X", unix.AUDIT_ARCH_S390X},
	{"SCMP_ARCH_PARISC", unix.AUDIT_ARCH_PARISC},
	{"SCMP_ARCH_PARISC64", unix.AUDIT_ARCH_PARISC64},
	{"SCMP_ARCH_RISCV64", unix.AUDIT_ARCH_RISCV64},
	{"SCMP_ARCH_LOONGARCH64", unix.AUDIT_ARCH_LOONGARCH64},
	{"SCMP_ARCH_M68K", unix.AUDIT_ARCH_M68K},
	{"SCMP_ARCH_SH", unix.AUDIT_ARCH_SHEL},
	{"SCMP_ARCH_SHEB", unix.AUDIT_ARCH_SH},
}

// Actions lists the actions that Compile accepts, as `features` prints them.
func Actions() []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = a.name
	}
	return names
}

// Operators lists the operators that Compile accepts.
func Operators() []string { return append([]string(nil), operators...) }

// Archs lists the architectures that Compile accepts. An old libseccomp lacks some.
func Archs() []string {
	names := make([]string, len(archs))
	for i, a := range archs {
		names[i] = a.name
	}
	return names
}

// KnownFlags lists the flags that Compile accepts where the kernel has them.
func KnownFlags() []string {
	names := make([]string, len(flagBits))
	for i, f := range flagBits {
		names[i] = f.name
	}
	return names
}

// SupportedFlags lists the known flags that this kernel has.
func SupportedFlags() []string {
	var names []string
	for _, f := range flagBits {
		if kernelHasFlag(f.bit) {
			names = append(names, f.name)
		}
	}
	return names
}

// token returns the number of an architecture in seccomp.h. It is the kernel's
// number, except for x32, which has none there.
func (a arch) token() uint32 {
	const x32 = 0x4000003e
	if a.name == "SCMP_ARCH_X32" {
		return x32
	}
	return a.audit
}

func archNamed(name string) (arch, bool) {
	for _, a := range archs {
		if a.name == name {
			return a, true
		}
	}
	return arch{}, false
}

func archOf(token uint32) (arch, bool) {
	for _, a := range archs {
		if a.token() == token {
			return a, true
		}
	}
	return arch{}, false
}
