package plan

import "github.com/opencontainers/runtime-spec/specs-go"

// Hook plans a createContainer hook: in the container's namespaces, with the
// runtime's privileges, while the path is still resolved among the host's
// mounts (runtime.md, "Lifecycle").
func Hook(spec *specs.Spec, path string, args, env []string, dir string) *Plan {
	b := &builder{Request: &Request{Spec: spec}, further: true}
	if spec.Linux != nil {
		b.linux = *spec.Linux
	}
	ns := containerNamespaces(b.linux.Namespaces)
	b.add("", Spawn{})
	b.add("", Harden{})
	if ns.join != 0 {
		b.add("/linux/namespaces", Enter{Flags: ns.join})
	}
	b.add("", Umask{Mask: 0o022})
	b.add("", Cwd{Path: dir})
	b.add("", FindProgram{Name: path})
	b.add("", CloseFiles{First: 3})
	b.add("", CloneInto{})
	b.add("", Execute{Args: args, Env: env})
	return &Plan{b.items}
}
