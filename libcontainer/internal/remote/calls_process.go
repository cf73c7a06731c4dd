package remote

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

var namespaceFlags = &flagSet{
	[]uint64{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWTIME, unix.CLONE_PARENT},
	[]string{"CLONE_NEWUSER", "CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWNET", "CLONE_NEWIPC", "CLONE_NEWUTS", "CLONE_NEWCGROUP", "CLONE_NEWTIME", "CLONE_PARENT"},
}

// Unshare moves the stub to new namespaces.
func (b *Batch) Unshare(flags uint64) Result {
	return b.call("unshare", unix.SYS_UNSHARE, namespaceFlags.arg(flags))
}

// Setns joins the namespace behind fd. If fd is a pidfd, it joins the namespaces of
// that process.
func (b *Batch) Setns(fd *FD, flags uint64) Result {
	return b.call("setns", unix.SYS_SETNS, fdArg(fd), namespaceFlags.arg(flags))
}

// Clone forks the stub. Both processes continue with this batch; the child has the
// result 0. flags has no exit signal; Clone adds SIGCHLD.
func (b *Batch) Clone(flags uint64) Result {
	return b.clone(namespaceFlags.arg(flags | uint64(unix.SIGCHLD)))
}

// clone is clone(2) on the stub's own stack. All arguments but the flags are 0.
func (b *Batch) clone(flags Arg) Result {
	args := [5]Arg{}
	args[stub.CloneFlags] = flags
	return b.call("clone", unix.SYS_CLONE, args[:]...)
}

// CloneInto is like Clone, with the child born in a cgroup2 directory. The number of
// the descriptor cgroup must be known. nil means the stub's own cgroup.
func (b *Batch) CloneInto(flags uint64, cgroup *FD) Result {
	if cgroup == nil {
		return b.Clone(flags)
	}
	// struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal,
	// stack, stack_size, tls, set_tid, set_tid_size, cgroup.
	const cloneIntoCgroup = 0x200000000
	signal := uint64(unix.SIGCHLD)
	if flags&unix.CLONE_PARENT != 0 {
		signal = 0 // the child gets the stub's own exit signal; clone3 refuses a signal here
	}
	args := b.words(flags|cloneIntoCgroup, 0, 0, 0, signal, 0, 0, 0, 0, 0, uint64(cgroup.n))
	args.show, args.of = showText, "{"+namespaceFlags.format(flags)+"|CLONE_INTO_CGROUP, cgroup "+cgroup.format()+"}"
	return b.call("clone3", unix.SYS_CLONE3, args, Int(88))
}

// CloneShared forks a child that shares memory and descriptors with the stub. The
// stub waits until the child exits. The results of the child's calls are stored like
// those of the stub.
func (b *Batch) CloneShared() Result {
	return b.clone(Hex(unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_FILES | uint64(unix.SIGCHLD)))
}

// Reap waits for the child that an earlier call of the batch has created.
func (b *Batch) Reap(child Result) Result {
	return b.call("wait4", unix.SYS_WAIT4, Arg{kind: argLoad, value: uint64(child.i)}, Int(0), Int(0), Int(0))
}

// Prctl calls prctl(2) with numeric arguments.
func (b *Batch) Prctl(name string, option int, v ...uint64) Result {
	args := []Arg{named(name, uint64(option)), Int(0), Int(0), Int(0), Int(0)}
	for i, x := range v {
		args[1+i] = Int(x)
	}
	return b.call("prctl", unix.SYS_PRCTL, args...)
}

// SetName sets the process name that ps shows (at most 15 bytes).
func (b *Batch) SetName(name string) Result {
	return b.call("prctl", unix.SYS_PRCTL, named("PR_SET_NAME", unix.PR_SET_NAME), b.str(name))
}

// Setsid starts a session.
func (b *Batch) Setsid() Result { return b.call("setsid", unix.SYS_SETSID) }

// FreeArena returns the arena's pages after this batch to the kernel. Larger batches
// have left them in use. A failure only keeps them.
func (b *Batch) FreeArena() {
	b.call("madvise", unix.SYS_MADVISE, Arg{kind: argBehind}, Arg{kind: argFree}, named("MADV_DONTNEED", unix.MADV_DONTNEED)).TolerateAll()
}

// UnblockSignals empties the signal mask.
func (b *Batch) UnblockSignals() Result {
	set := b.words(0)
	return b.call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, named("SIG_SETMASK", unix.SIG_SETMASK), set, Hex(0), Int(8))
}

// DefaultSignal resets a signal to its default disposition.
func (b *Batch) DefaultSignal(sig unix.Signal) Result {
	action := b.words(0, 0, 0, 0) // SIG_DFL, no flags, no restorer, no mask
	return b.call("rt_sigaction", unix.SYS_RT_SIGACTION, Int(int(sig)), action, Hex(0), Int(8))
}

// Setresuid sets all three user ids.
func (b *Batch) Setresuid(uid uint32) Result {
	return b.call("setresuid", unix.SYS_SETRESUID, Int(uid), Int(uid), Int(uid))
}

// Setresgid sets all three group ids.
func (b *Batch) Setresgid(gid uint32) Result {
	return b.call("setresgid", unix.SYS_SETRESGID, Int(gid), Int(gid), Int(gid))
}

// Setgroups sets the supplementary groups.
func (b *Batch) Setgroups(gids []uint32) Result {
	return b.call("setgroups", unix.SYS_SETGROUPS, Int(len(gids)), b.mem(GroupList(gids)))
}

// GroupList encodes groups for setgroups(2).
func GroupList(gids []uint32) []byte {
	p := make([]byte, 0, 4*len(gids))
	for _, g := range gids {
		p = binary.NativeEndian.AppendUint32(p, g)
	}
	return p
}

// SetDumpable sets the dumpable flag, which decides which processes may inspect the stub
// (prctl(2), PR_SET_DUMPABLE).
func (b *Batch) SetDumpable(on bool) Result {
	var v uint64
	if on {
		v = 1
	}
	return b.Prctl("PR_SET_DUMPABLE", unix.PR_SET_DUMPABLE, v)
}

// Capset sets the thread's three capability sets.
func (b *Batch) Capset(effective, permitted, inheritable uint64) Result {
	var p []byte
	p = binary.NativeEndian.AppendUint32(p, unix.LINUX_CAPABILITY_VERSION_3)
	p = binary.NativeEndian.AppendUint32(p, 0)
	for shift := 0; shift < 64; shift += 32 {
		for _, set := range []uint64{effective, permitted, inheritable} {
			p = binary.NativeEndian.AppendUint32(p, uint32(set>>shift))
		}
	}
	head := b.mem(p[:8])
	data := b.mem(p[8:])
	data.show = showCaps
	return b.call("capset", unix.SYS_CAPSET, head, data)
}

// Hex16 prints a capability set like /proc/PID/status.
func Hex16(v uint64) string {
	const digits = "0123456789abcdef"
	var out [16]byte
	for i := range out {
		out[15-i] = digits[v>>(4*i)&15]
	}
	return string(out[:])
}

// Setrlimit sets a resource limit of the stub itself.
func (b *Batch) Setrlimit(resource int, soft, hard uint64) Result {
	return b.call("prlimit64", unix.SYS_PRLIMIT64, Int(0), Int(resource), b.words(soft, hard), Int(0))
}

// Sethostname sets the UTS namespace's host name.
func (b *Batch) Sethostname(name string) Result {
	return b.call("sethostname", unix.SYS_SETHOSTNAME, b.str(name), Int(len(name)))
}

// Setdomainname sets the UTS namespace's NIS domain name.
func (b *Batch) Setdomainname(name string) Result {
	return b.call("setdomainname", unix.SYS_SETDOMAINNAME, b.str(name), Int(len(name)))
}

// JoinSessionKeyring creates a session keyring and joins it (keyctl(2)).
func (b *Batch) JoinSessionKeyring(name string) Result {
	return b.call("keyctl", unix.SYS_KEYCTL, named("KEYCTL_JOIN_SESSION_KEYRING", unix.KEYCTL_JOIN_SESSION_KEYRING), b.str(name))
}

// SessionKeyringPerm sets the permissions of the session keyring.
func (b *Batch) SessionKeyringPerm(perm uint32) Result {
	const session = ^uint64(2) // KEY_SPEC_SESSION_KEYRING, -3
	return b.call("keyctl", unix.SYS_KEYCTL, named("KEYCTL_SETPERM", unix.KEYCTL_SETPERM), named("KEY_SPEC_SESSION_KEYRING", session), Hex(uint64(perm)))
}

// Personality sets the execution domain.
func (b *Batch) Personality(domain uint64) Result {
	return b.call("personality", unix.SYS_PERSONALITY, Hex(domain))
}

// Ioprio sets the I/O priority of the stub.
func (b *Batch) Ioprio(class, level int) Result {
	const who = 1 // IOPRIO_WHO_PROCESS
	return b.call("ioprio_set", unix.SYS_IOPRIO_SET, Int(who), Int(0), Hex(uint64(class<<13|level)))
}

// SchedSetattr sets the stub's scheduling policy.
func (b *Batch) SchedSetattr(a unix.SchedAttr) Result {
	a.Size = unix.SizeofSchedAttr
	var p []byte
	p = binary.NativeEndian.AppendUint32(p, a.Size)
	p = binary.NativeEndian.AppendUint32(p, a.Policy)
	p = binary.NativeEndian.AppendUint64(p, a.Flags)
	p = binary.NativeEndian.AppendUint32(p, uint32(a.Nice))
	p = binary.NativeEndian.AppendUint32(p, a.Priority)
	p = binary.NativeEndian.AppendUint64(p, a.Runtime)
	p = binary.NativeEndian.AppendUint64(p, a.Deadline)
	p = binary.NativeEndian.AppendUint64(p, a.Period)
	p = binary.NativeEndian.AppendUint32(p, 0)
	p = binary.NativeEndian.AppendUint32(p, 0)
	return b.call("sched_setattr", unix.SYS_SCHED_SETATTR, Int(0), b.mem(p), Int(0))
}

// SetMempolicy sets the stub's NUMA policy. nodes is a bit mask; its length in bits
// plus one is maxnode (set_mempolicy(2)).
func (b *Batch) SetMempolicy(mode int, nodes []uint64) Result {
	mask := Hex(0)
	maxnode := 0
	if len(nodes) > 0 {
		mask, maxnode = b.words(nodes...), 64*len(nodes)+1
	}
	return b.call("set_mempolicy", unix.SYS_SET_MEMPOLICY, Hex(uint64(mode)), mask, Int(maxnode))
}

// SchedSetaffinity sets the CPUs that the stub may run on.
func (b *Batch) SchedSetaffinity(mask []uint64) Result {
	return b.call("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, Int(0), Int(8*len(mask)), b.words(mask...))
}

// Seccomp installs a filter. program is an array of struct sock_filter.
func (b *Batch) Seccomp(program []byte, flags uint64) Result {
	prog := b.seccompProgram(program)
	return b.call("seccomp", unix.SYS_SECCOMP, named("SECCOMP_SET_MODE_FILTER", unix.SECCOMP_SET_MODE_FILTER), Hex(flags), prog)
}

// SeccompListener is like Seccomp with SECCOMP_FILTER_FLAG_NEW_LISTENER. It returns
// the listener.
func (b *Batch) SeccompListener(program []byte, flags uint64) *FD {
	prog := b.seccompProgram(program)
	return b.opens("seccomp listener", "seccomp", unix.SYS_SECCOMP, named("SECCOMP_SET_MODE_FILTER", unix.SECCOMP_SET_MODE_FILTER),
		Hex(flags|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER), prog)
}

// seccompProgram adds a struct sock_fprog to the data and returns its address.
func (b *Batch) seccompProgram(program []byte) Arg {
	code := b.mem(program)
	prog := b.words(stub.Short(uint16(len(program)/8)), 0)
	b.relocs = append(b.relocs, reloc{int(prog.value) + 8, int(code.value)})
	return prog
}

// Execve replaces the stub by the program at path.
func (b *Batch) Execve(path string, args, env []string) Result {
	return b.call("execve", unix.SYS_EXECVE, b.str(path), b.vector(args), b.vector(env))
}

// WriteResult writes the low 4 bytes of an earlier result to fd.
func (b *Batch) WriteResult(fd *FD, r Result) Result {
	return b.call("write", unix.SYS_WRITE, fdArg(fd), Arg{kind: argLow, value: uint64(r.i)}, Int(4))
}

// AwaitByte waits until one byte can be read from fd.
func (b *Batch) AwaitByte(fd *FD) Result {
	r, _ := b.Read(fd, 1)
	return r
}

// Exit ends the stub with an exit status.
func (b *Batch) Exit(status int) Result {
	return b.call("exit_group", unix.SYS_EXIT_GROUP, Int(status))
}
