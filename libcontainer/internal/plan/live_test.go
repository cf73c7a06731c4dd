package plan

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// visited returns a request for each kind of container to which mounts can be added.
func visited() map[string]LiveRequest {
	withUser := &specs.Spec{Linux: &specs.Linux{UIDMappings: []specs.LinuxIDMapping{{HostID: 100000, Size: 10}}}}
	plain := &specs.Spec{Linux: &specs.Linux{MountLabel: "label"}}
	for _, kind := range []specs.LinuxNamespaceType{"pid", "mount", "network", "ipc", "uts", "cgroup", "time"} {
		for _, s := range []*specs.Spec{withUser, plain} {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
		}
	}
	withUser.Linux.Namespaces = append(withUser.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	request := func(s *specs.Spec, h Host) LiveRequest {
		h.Cgroups = []CgroupMount{{V2: true, Path: "/sys/fs/cgroup/c", Root: "/sys/fs/cgroup"}}
		return LiveRequest{Spec: s, Rootfs: "/bundle/rootfs", Bundle: "/bundle", Host: h}
	}
	return map[string]LiveRequest{
		"no user namespace":                       request(plain, Host{}),
		"user namespace":                          request(withUser, Host{}),
		"user namespace, without privilege":       request(withUser, Host{Rootless: true}),
		"user namespace, from a user namespace's": request(withUser, Host{Rootless: true, InUserns: true}),
	}
}

var newMounts = []specs.Mount{
	{Destination: "/data", Type: "bind", Source: "/srv/data", Options: []string{"rbind", "ro", "nosuid"}},
	{Destination: "inside", Source: "rootfs/there", Options: []string{"rbind"}},
	{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro", "size=1m"}},
	{Destination: "/scratch/dir", Type: "tmpfs", Source: "tmpfs"},
	{Destination: "/proc", Type: "proc", Source: "proc"},
	{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup"},
}

func TestLivePlans(t *testing.T) {
	var sections []section
	requests := visited()
	for _, name := range sortedKeys(requests) {
		p, err := AddMounts(requests[name], newMounts)
		if err != nil {
			t.Fatal(err)
		}
		sections = append(sections, section{"add, " + name, p.String()})
		p, err = RemoveMounts(requests[name], []Unmount{{At: Place{Path: "/data"}, ID: 7}})
		if err != nil {
			t.Fatal(err)
		}
		sections = append(sections, section{"remove, " + name, p.String()})
	}
	golden(t, "live", sections)
}

// Processes of the container could inspect the stub. So no privileged process may
// enter its pid namespace, and the stub mounts and resolves nothing before it is in
// the container's mount namespace.
func TestLivePlansKeepOut(t *testing.T) {
	for name, r := range visited() {
		p, err := AddMounts(r, newMounts)
		if err != nil {
			t.Fatal(err)
		}
		s := &subject{plan: p, spec: r.Spec, host: r.Host}
		for _, it := range p.Items {
			switch step := it.Step.(type) {
			case Fork, CloneInto, Join:
				t.Errorf("%s: %s", name, step)
			case Enter:
				if step.Flags&(unix.CLONE_NEWPID|unix.CLONE_NEWTIME) != 0 {
					t.Errorf("%s: %s", name, step)
				}
			case Mount:
				if step.OrBind != "" {
					t.Errorf("%s: %s may bind what is the host's, behind the host's mounts", name, step)
				}
			}
		}
		err = firstOf(
			count[TakeAlong](s, 1), count[HoldRoot](s, 1), before[TakeAlong, HoldRoot](s), before[Enter, HoldRoot](s),
			before[HoldRoot, Mount](s), before[HoldRoot, Bind](s), before[Unshare, TakeAlong](s), before[Propagation, TakeAlong](s),
		)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLiveMountsThatCannotBe(t *testing.T) {
	r := visited()["no user namespace"]
	for text, m := range map[string]specs.Mount{
		`/0: "/proc/sys" cannot be mounted because`:       {Destination: "/proc/sys", Type: "tmpfs"},
		"/0: / cannot be a destination: root.path is mou": {Destination: "..", Type: "tmpfs"},
		"/0: a mount of a running container cannot be re": {Destination: "/data", Options: []string{"remount", "ro"}},
		"/0: copy-symlink is impossible in a running con": {Destination: "/link", Source: "/x", Options: []string{"bind", "copy-symlink"}},
		"/0: a mount of type tmpfs cannot be mounted bec": {Destination: "/proc", Type: "tmpfs"},
		"/0: a source in a running container requires rb": {Destination: "/data", Source: "rootfs/there", Options: []string{"bind"}},
		"/0: mounts below a source in a running containe": {Destination: "/data", Source: "rootfs/there", Options: []string{"rbind", "rrw"}},
	} {
		_, err := AddMounts(r, []specs.Mount{m})
		if err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("AddMounts(%v) = %v; want %s…", m, err, text)
		}
	}
}
