package seccomp

import (
	"context"
	"encoding/binary"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// A Filter is a compiled profile, in the form of the arguments of
//
//	seccomp(SECCOMP_SET_MODE_FILTER, Flags, &sock_fprog{len(Program)/8, Program})
type Filter struct {
	// Program is an array of struct sock_filter in native byte order, at most
	// 4096 of them.
	Program []byte

	// Flags are all SECCOMP_FILTER_FLAG_* bits for seccomp(2). NEW_LISTENER is
	// among them if Listener is set. TSYNC is always paired with TSYNC_ESRCH,
	// so a failure is an errno, never a thread id that looks like success.
	Flags uint32

	// Listener says that loading the filter returns a descriptor, close-on-exec,
	// which the caller must pass to SendListener.
	Listener bool

	// Unknown are the syscall names of the profile that libseccomp does not
	// know. Their rules are not in the program. The caller warns of them.
	Unknown []string
}

// Compile makes a filter of a profile. Its error is one line with all mistakes
// of the profile, each with its JSON pointer under /linux/seccomp.
//
// If libseccomp runs in a helper process, ctx can interrupt the compilation,
// and the compilation has a deadline of its own. A libseccomp that is linked in
// cannot be interrupted.
func Compile(ctx context.Context, profile *specs.LinuxSeccomp) (Filter, error) {
	set, flags, err := translate(profile)
	if err != nil {
		return Filter{}, err
	}
	if err := checkKernel(set, profile.Flags); err != nil {
		return Filter{}, err
	}
	if err := ctx.Err(); err != nil {
		return Filter{}, err
	}
	made, err := ruleset.Build(ctx, set)
	if err != nil {
		return Filter{}, err
	}
	made.Code = answerENOSYS(made.Code, set.Default, made.Named)
	if err := made.Check(); err != nil {
		return Filter{}, err
	}
	listener := notifies(made.Code)
	return Filter{
		Program:  made.Code,
		Flags:    filterFlags(flags, listener),
		Listener: listener,
		Unknown:  made.Unknown,
	}, nil
}

// library is the version of libseccomp in the helper. The linker sets it: -X
// …/seccomp.library=2.5.4; otherwise it is empty.
var library string

// LibraryVersion returns the version of libseccomp, "2.5.4". Without a version
// from the linker, it takes a compilation.
func LibraryVersion(ctx context.Context) (string, error) {
	if library != "" {
		return library, nil
	}
	made, err := ruleset.Build(ctx, &ruleset.Set{Default: unix.SECCOMP_RET_ALLOW})
	if err != nil {
		return "", err
	}
	return made.Library, nil
}

// notifies reports whether a program can return SECCOMP_RET_USER_NOTIF. The
// profile does not tell: its rule may be for syscalls that do not exist here.
func notifies(code []byte) bool {
	for ; len(code) > 0; code = code[unix.SizeofSockFilter:] {
		if i := decode(code); i.Code == unix.BPF_RET|unix.BPF_K && i.K&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_USER_NOTIF {
			return true
		}
	}
	return false
}

// decode returns the first instruction of a program:
//
//	0      2    3    4        8
//	| code | jt | jf | k      |
func decode(b []byte) unix.SockFilter {
	return unix.SockFilter{
		Code: binary.NativeEndian.Uint16(b),
		Jt:   b[2],
		Jf:   b[3],
		K:    binary.NativeEndian.Uint32(b[4:]),
	}
}

// encode appends an instruction to a program.
func encode(b []byte, i unix.SockFilter) []byte {
	b = binary.NativeEndian.AppendUint16(b, i.Code)
	b = append(b, i.Jt, i.Jf)
	return binary.NativeEndian.AppendUint32(b, i.K)
}
