//go:build cgo

package libseccomp

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// Version is the version of the library that is linked in.
func Version() string {
	major, minor, micro := seccomp.GetLibraryVersion()
	return fmt.Sprintf("%d.%d.%d", major, minor, micro)
}

// Build makes a program of a ruleset. It cannot be interrupted.
func Build(set *ruleset.Set) (*ruleset.Program, error) {
	filter, err := newFilter(set)
	if err != nil {
		return nil, err
	}
	defer filter.Release()
	b := builder{filter: filter, set: set, numbers: make(map[string]seccomp.ScmpSyscall)}
	if err := b.addRules(); err != nil {
		return nil, err
	}
	named, err := b.named()
	if err != nil {
		return nil, err
	}
	code, err := export(filter)
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp: libseccomp %s: %w", Version(), err)
	}
	return &ruleset.Program{Code: code, Named: named, Unknown: b.unknown, Library: Version()}, nil
}

// newFilter makes an empty filter for the native architecture and those asked for.
func newFilter(set *ruleset.Set) (*seccomp.ScmpFilter, error) {
	filter, err := seccomp.NewFilter(action(set.Default))
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp/defaultAction: libseccomp %s: %w", Version(), err)
	}
	for i, name := range set.Archs {
		if err := filter.AddArch(archOf(name)); err != nil {
			filter.Release()
			if errors.Is(err, unix.EDOM) {
				err = errors.New("its byte order is not this machine's")
			}
			return nil, fmt.Errorf("/linux/seccomp/architectures/%d: %s: libseccomp %s: %w", i, name, Version(), err)
		}
	}
	return filter, nil
}

type builder struct {
	filter  *seccomp.ScmpFilter
	set     *ruleset.Set
	numbers map[string]seccomp.ScmpSyscall // known names, by their native number
	unknown []string
	added   int
}

// bushy is the number of rules from which a binary tree is worth its
// instructions. It must not be asked for without any rule: up to version 2.5.4
// the default action is then lost (libseccomp issue 370).
const bushy = 16

func (b *builder) addRules() error {
	for i := range b.set.Rules {
		if err := b.addRule(&b.set.Rules[i]); err != nil {
			return err
		}
	}
	if b.added >= bushy {
		if err := b.filter.SetOptimize(2); err != nil {
			return fmt.Errorf("/linux/seccomp: libseccomp %s: binary tree: %w", Version(), err)
		}
	}
	return nil
}

// addRule adds a rule for each of its names. The order of the architectures and
// rules is libseccomp's business; a name that does not exist on one of the
// architectures is left out there.
func (b *builder) addRule(rule *ruleset.Rule) error {
	conditions, err := conditions(rule)
	if err != nil {
		return err
	}
	for i, name := range rule.Names {
		number, ok := b.resolve(name)
		// libseccomp refuses a rule that says what the default says.
		if !ok || rule.Action == b.set.Default {
			continue
		}
		for _, all := range conditions {
			if err := b.filter.AddRuleConditional(number, action(rule.Action), all); err != nil {
				return fmt.Errorf("%s/names/%d: %s: libseccomp %s: %w", rule.Pointer, i, name, Version(), err)
			}
			b.added++
		}
	}
	return nil
}

// resolve returns a syscall's native number. It is negative, and still good for
// a rule, where only other architectures have the syscall.
func (b *builder) resolve(name string) (seccomp.ScmpSyscall, bool) {
	if number, ok := b.numbers[name]; ok {
		return number, true
	}
	number, err := seccomp.GetSyscallFromName(name)
	if err != nil {
		b.unknown = append(b.unknown, name)
		return 0, false
	}
	b.numbers[name] = number
	return number, true
}

// named lists the numbers that the profile's names have, by architecture. What
// they say about its age is the receiver's to find: architectures count
// differently.
func (b *builder) named() ([]ruleset.Named, error) {
	native, err := seccomp.GetNativeArch()
	if err != nil {
		return nil, fmt.Errorf("/linux/seccomp: libseccomp %s: native architecture: %w", Version(), err)
	}
	list := []ruleset.Named{{Arch: archName(native), Numbers: b.numbersOn(native)}}
	for _, name := range b.set.Archs {
		if arch := archOf(name); arch != native {
			list = append(list, ruleset.Named{Arch: name, Numbers: b.numbersOn(arch)})
		}
	}
	return list, nil
}

func (b *builder) numbersOn(arch seccomp.ScmpArch) []uint32 {
	var numbers []uint32
	for name := range b.numbers {
		if n, err := seccomp.GetSyscallFromNameByArch(name, arch); err == nil && n >= 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	return numbers
}

// export goes through a memfd: libseccomp writes to descriptors only, before
// version 2.6.
func export(filter *seccomp.ScmpFilter) ([]byte, error) {
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "seccomp")
	defer f.Close()
	if err := filter.ExportBPF(f); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}
