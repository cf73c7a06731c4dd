package plan

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// Enter joins the container's namespaces in one setns(2) call. The engine has a
// pidfd of a process in them.
type Enter struct {
	containerStep
	Flags uint64
}

// ExecRequest describes the process that exec adds.
type ExecRequest struct {
	Spec    *specs.Spec    // the container's
	Process *specs.Process // the new process, complete
	ID      string
	Rootfs  string // absolute
	// NoKeyring: the container was created without its own keyring.
	NoKeyring bool
	// Resctrl are the resctrl directories (groups) of the container.
	Resctrl  []string
	Preserve int
	// Guided: the runtime side moves the process to the container's cgroup once it is
	// cloned. Until then the process waits at a gate.
	Guided bool
	Host   Host
}

// Exec plans an additional process of a running container.
func Exec(r ExecRequest) (*Plan, error) {
	spec := *r.Spec
	spec.Process = r.Process
	b := &builder{Request: &Request{Spec: &spec, ID: r.ID, Rootfs: r.Rootfs, Preserve: r.Preserve, NoNewKeyring: r.NoKeyring, Host: r.Host}, further: true, guided: r.Guided}
	if spec.Linux != nil {
		b.linux = *spec.Linux
	}
	ns := containerNamespaces(b.linux.Namespaces)

	b.add("", Spawn{})       // in the runtime's cgroup: the stub shares the runtime's memory; in the container's cgroup it could be frozen, or killed together with the runtime
	b.add("", Harden{})      // before the stub approaches the container
	b.joinResctrl(r.Resctrl) // before the stub has children, which inherit the group
	b.affinity(r.Process)    // initial: while the runtime's cpuset applies
	if r.Host.Unified {
		b.add(given("/linux/cgroupsPath", b.linux.CgroupsPath), ForkInto{}) // while the stub has the privilege; the clone below must not hold a descriptor of the cgroup
	}
	b.cgroups() // before the container can see the process
	b.freeAffinity(r.Process)
	b.joinContainer(ns) // in the pid namespace, setns moves future children only
	b.add("", Session{})
	b.keyring()
	b.terminal(Terminal{})
	b.process(ns)
	return &Plan{b.items}, b.err
}

// joinContainer joins the container's namespaces. A container without a mount namespace
// has its root from chroot only, so the stub enters that as create does.
func (b *builder) joinContainer(ns *namespaces) {
	chroot := !ns.has(unix.CLONE_NEWNS)
	if chroot {
		b.add("/root/path", EnterRootfs{Path: b.Rootfs})
	}
	if ns.join != 0 {
		b.add("/linux/namespaces", Enter{Flags: ns.join})
	}
	if ns.join&unix.CLONE_NEWUSER != 0 {
		b.becomeRoot()
	}
	if chroot {
		b.add("/root/path", ChangeRoot{})
	}
}

// containerNamespaces returns all namespaces of the container that are not the
// host's, whether create made them or joined them.
func containerNamespaces(list []specs.LinuxNamespace) *namespaces {
	ns := &namespaces{index: map[uint64]int{}}
	for i, n := range list {
		flag, _ := specconv.NamespaceFlag(n.Type)
		ns.join |= flag
		ns.index[flag] = i
	}
	return ns
}

// freeAffinity drops the caller's affinity, as create does. It does not apply to
// the container; the container's cpuset does.
func (b *builder) freeAffinity(p *specs.Process) {
	if a := p.ExecCPUAffinity; a == nil || a.Initial == "" {
		b.add("", Affinity{})
	}
}

func (b *builder) affinity(p *specs.Process) {
	if a := p.ExecCPUAffinity; a != nil && a.Initial != "" {
		b.add("/process/execCPUAffinity/initial", Affinity{CPUs: a.Initial})
	}
}
