package plan

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// Enter joins all of a container's namespaces at once, those of the process
// that a pidfd of the engine stands for (setns(2)).
type Enter struct {
	containerStep
	Flags uint64
}

// ExecRequest is what is asked for by exec.
type ExecRequest struct {
	Spec    *specs.Spec    // the container's
	Process *specs.Process // the new process, complete
	ID      string
	Rootfs  string // absolute
	// NoKeyring: the container was made without a keyring of its own.
	NoKeyring bool
	// Resctrl are the directories of resctrl that the container is in.
	Resctrl  []string
	Preserve int
	Host     Host
}

// Exec plans a further process of a container that runs.
func Exec(r ExecRequest) (*Plan, error) {
	spec := *r.Spec
	spec.Process = r.Process
	b := &builder{Request: &Request{Spec: &spec, ID: r.ID, Rootfs: r.Rootfs, Preserve: r.Preserve, NoNewKeyring: r.NoKeyring, Host: r.Host}, further: true}
	if spec.Linux != nil {
		b.linux = *spec.Linux
	}
	ns := containerNamespaces(b.linux.Namespaces)

	b.add("", Spawn{})       // in our own cgroup: in the container's, what shares our memory could be frozen, and killed with us
	b.add("", Harden{})      // before it is anywhere near the container
	b.joinResctrl(r.Resctrl) // before it has children
	b.affinity(r.Process)    // initial: while the host's cpuset still holds
	if r.Host.Unified {
		b.add(given("/linux/cgroupsPath", b.linux.CgroupsPath), ForkInto{}) // before the privilege for it goes; the clone below must not hold a descriptor of the cgroup
	}
	b.cgroups() // before it can be seen
	b.freeAffinity(r.Process)
	b.enter(ns) // the pid namespace is entered by children only
	b.add("", Session{})
	b.keyring()
	b.terminal(Terminal{})
	b.process(ns)
	return &Plan{b.items}, b.err
}

// enter joins the container's namespaces. Where it has no mount namespace, its
// root is not to be had from one, and is entered as create did.
func (b *builder) enter(ns *namespaces) {
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

// containerNamespaces is every namespace that the container does not share
// with the host, made or joined.
func containerNamespaces(list []specs.LinuxNamespace) *namespaces {
	ns := &namespaces{index: map[uint64]int{}}
	for i, n := range list {
		flag, _ := specconv.NamespaceFlag(n.Type)
		ns.join |= flag
		ns.index[flag] = i
	}
	return ns
}

// freeAffinity drops the caller's affinity, which is not the container's, as
// create does: the container's cpuset still holds.
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
