//go:build cgo

package answer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// A profile is a request for a filter. It has the names of all its rules, each
// once, and the architectures besides the native one.
type profile struct {
	fallback uint32 // the action if no rule matches
	archs    []uint32
	names    []string
	rules    []rule
}

// A rule is for one name. It matches if all of its comparisons do.
type rule struct {
	action, name uint32
	comparisons  []libseccomp.ScmpCondition
}

// filter returns the reply to a request for a filter.
func filter(in *wire.Reader) wire.Reply {
	reply := wire.Reply{Body: versions()}
	p := readProfile(in)
	if !in.Complete() {
		reply.Status = wire.BadRequest
		return reply
	}
	body, err := p.build()
	if stop := (refusal{}); errors.As(err, &stop) {
		reply.Status, reply.Index, reply.Errno = stop.status, uint32(stop.index), stop.errno
		return reply
	}
	reply.Body = append(reply.Body, body...)
	return reply
}

// versions returns the head of each reply about a filter.
func versions() []byte {
	major, minor, micro := libseccomp.GetLibraryVersion()
	var native uint32
	if arch, err := libseccomp.GetNativeArch(); err == nil {
		native = tokenOf(arch)
	}
	return numbers(uint32(major), uint32(minor), uint32(micro), native)
}

// Libseccomp returns the version of the linked library, "2.5.4".
func Libseccomp() string {
	major, minor, micro := libseccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

func numbers(list ...uint32) []byte {
	b := make([]byte, 0, 4*len(list))
	for _, n := range list {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

func readProfile(in *wire.Reader) *profile {
	const number, text, least = 4, 5, 12 // bytes of the shortest element
	p := &profile{fallback: in.Number()}
	for range in.Count(number) {
		p.archs = append(p.archs, in.Number())
	}
	for range in.Count(text) {
		p.names = append(p.names, in.Text())
	}
	for range in.Count(least) {
		p.rules = append(p.rules, readRule(in, len(p.names)))
	}
	return p
}

func readRule(in *wire.Reader, names int) rule {
	const arguments, comparison = 6, 24
	r := rule{action: in.Number(), name: in.Number()}
	n := in.Count(comparison)
	if n > arguments || int64(r.name) >= int64(names) {
		in.Bad()
		return r
	}
	for range n {
		c := libseccomp.ScmpCondition{Argument: uint(in.Number()), Op: operator(in.Number()), Operand1: in.Value(), Operand2: in.Value()}
		if c.Argument >= arguments || c.Op == libseccomp.CompareInvalid {
			in.Bad()
			return r
		}
		r.comparisons = append(r.comparisons, c)
	}
	return r
}

// A refusal has the stage at which libseccomp stopped.
type refusal struct {
	status wire.Status
	index  int
	errno  unix.Errno
}

func (r refusal) Error() string {
	return fmt.Sprintf("status %d, index %d: %v", r.status, r.index, r.errno)
}

// refused returns a refusal with the errno of libseccomp. The binding has texts in
// place of some errnos; all of them are about wrong arguments.
func refused(status wire.Status, index int, err error) error {
	errno := unix.EINVAL
	errors.As(err, &errno)
	return refusal{status, index, errno}
}

// build asks libseccomp, and returns the table and the program.
func (p *profile) build() ([]byte, error) {
	action, err := actionOf(p.fallback)
	if err != nil {
		return nil, refused(wire.BadDefault, 0, err)
	}
	f, err := libseccomp.NewFilter(action)
	if err != nil {
		return nil, refused(wire.BadDefault, 0, err)
	}
	defer f.Release()
	archs, err := p.addArchitectures(f)
	if err != nil {
		return nil, err
	}
	table, err := p.table(archs)
	if err != nil {
		return nil, err
	}
	if err := p.addRules(f, table); err != nil {
		return nil, err
	}
	program, err := export(f)
	if err != nil {
		return nil, refused(wire.BadFilter, 0, err)
	}
	return append(table, program...), nil
}

func (p *profile) addArchitectures(f *libseccomp.ScmpFilter) ([]libseccomp.ScmpArch, error) {
	var list []libseccomp.ScmpArch
	for i, token := range p.archs {
		arch := archOf(token)
		if err := f.AddArch(arch); err != nil { // the native one is in the filter from the start, and gives no error
			return nil, refused(wire.BadArchitecture, i, err)
		}
		list = append(list, arch)
	}
	return list, nil
}

// unknown is the number of a name that libseccomp does not know. libseccomp gives
// other negative numbers to names that only other architectures have.
const unknown = ^uint32(0)

// table returns the numbers of all names, first here and then on each architecture.
func (p *profile) table(archs []libseccomp.ScmpArch) ([]byte, error) {
	size := 4 * uint64(len(p.names)) * uint64(1+len(archs))
	if size > wire.MaxReply/2 { // the program follows it
		return nil, refused(wire.BadFilter, 0, unix.EMSGSIZE)
	}
	table := make([]byte, 0, size)
	row := func(resolve func(name string) (libseccomp.ScmpSyscall, error)) {
		for _, name := range p.names {
			n, err := resolve(name)
			if err != nil {
				table = binary.NativeEndian.AppendUint32(table, unknown)
				continue
			}
			table = binary.NativeEndian.AppendUint32(table, uint32(n))
		}
	}
	row(libseccomp.GetSyscallFromName)
	for _, arch := range archs {
		row(func(name string) (libseccomp.ScmpSyscall, error) {
			return libseccomp.GetSyscallFromNameByArch(name, arch)
		})
	}
	return table, nil
}

// bushy is the number of rules from which a binary tree is worth its
// instructions. A tree without any rule would lose the default action, up to
// version 2.5.4 (libseccomp issue 370).
const bushy = 16

// addRules adds the rules for the names that libseccomp knows. A number below -1
// is allowed: libseccomp leaves the rule out where there is no such call.
func (p *profile) addRules(f *libseccomp.ScmpFilter, table []byte) error {
	added := 0
	for i, r := range p.rules {
		number := binary.NativeEndian.Uint32(table[4*r.name:])
		if number == unknown {
			continue
		}
		action, err := actionOf(r.action)
		if err == nil {
			err = f.AddRuleConditional(libseccomp.ScmpSyscall(int32(number)), action, r.comparisons)
		}
		if err != nil {
			return refused(wire.BadRule, i, err)
		}
		added++
	}
	if added < bushy {
		return nil
	}
	if err := f.SetOptimize(2); err != nil {
		return refused(wire.BadFilter, 0, err)
	}
	return nil
}

// export returns the program. Before version 2.6, libseccomp writes it to
// descriptors only.
func export(f *libseccomp.ScmpFilter) ([]byte, error) {
	file, err := memory()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := f.ExportBPF(file); err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	program := make([]byte, size)
	_, err = file.ReadAt(program, 0)
	return program, err
}

// memory returns a memory file. It works also where the kernel forbids memory
// files that could be executed (vm.memfd_noexec=2).
func memory() (*os.File, error) {
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 has no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "filter"), nil
}
