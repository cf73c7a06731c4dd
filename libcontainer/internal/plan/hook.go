package plan

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Hook plans a createContainer hook. The hook runs in the container's namespaces
// with the runtime's privileges, but its path is resolved in the runtime's mount
// namespace (runtime.md, "Lifecycle"). A joined pid namespace contains foreign
// processes, which must not see such a privileged process (CVE-2016-9962). The
// hook then stays in the runtime's pid namespace.
func Hook(spec *specs.Spec, path string, args, env []string, dir string) *Plan {
	b := &builder{Request: &Request{Spec: spec}, further: true}
	if spec.Linux != nil {
		b.linux = *spec.Linux
	}
	ns := containerNamespaces(b.linux.Namespaces)
	b.add("", Spawn{})
	b.add("", Harden{})
	if joins(b.linux.Namespaces, specs.PIDNamespace) {
		ns.join &^= unix.CLONE_NEWPID
	}
	if ns.join != 0 {
		b.add("/linux/namespaces", Enter{Flags: ns.join})
	}
	if ns.join&unix.CLONE_NEWUSER != 0 {
		b.becomeRoot() // an unmapped id would lose all capabilities at execve
	}
	b.add("", Session{})
	b.add("", Umask{Mask: 0o022})
	b.add("", Cwd{Path: dir})
	b.add("", FindProgram{Name: path})
	b.add("", CloseFiles{First: 3})
	b.add("", CloneInto{})
	b.add("", Execute{Args: args, Env: env})
	return &Plan{b.items}
}

// joins reports whether the configuration joins a namespace of the kind by path.
func joins(list []specs.LinuxNamespace, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(list, func(n specs.LinuxNamespace) bool { return n.Type == kind && n.Path != "" })
}

// SetProgram makes the plan execute the file at path, whatever args[0] is.
func (p *Plan) SetProgram(path string) {
	for i, it := range p.Items {
		if f, ok := it.Step.(FindProgram); ok {
			f.Name = path
			p.Items[i].Step = f
		}
	}
}
