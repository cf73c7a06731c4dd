package plan

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Hook plans a createContainer hook: in the container's namespaces, with the
// runtime's privileges, while the path is still resolved among the host's
// mounts (runtime.md, "Lifecycle"). A pid namespace that is joined has strangers
// in it, to whom a process of so much privilege is not shown (CVE-2016-9962):
// the hook stays in the runtime's.
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
		b.becomeRoot() // execve leaves no capabilities to an id that is not mapped
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

// joins tells whether the configuration has a namespace of the type by path.
func joins(list []specs.LinuxNamespace, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(list, func(n specs.LinuxNamespace) bool { return n.Type == kind && n.Path != "" })
}

// SetProgram has the plan execute the file at path, whatever args[0] is.
func (p *Plan) SetProgram(path string) {
	for i, it := range p.Items {
		if f, ok := it.Step.(FindProgram); ok {
			f.Name = path
			p.Items[i].Step = f
		}
	}
}
