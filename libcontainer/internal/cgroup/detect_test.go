package cgroup

import (
	"reflect"
	"strings"
	"testing"
)

// feed returns an iterator over the lines of text, and the number of lines read so far.
func feed(text string) (next func() ([]byte, bool), read *int) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	n := 0
	return func() ([]byte, bool) {
		if n == len(lines) {
			return nil, false
		}
		n++
		return []byte(lines[n-1]), true
	}, &n
}

func TestMountedHost(t *testing.T) {
	for _, test := range []struct {
		name, own, mounts string
		want              *Host
		read              int // lines of mountinfo
	}{
		{
			name: "v1 with a named hierarchy, stops when all are found",
			own:  "3:name=systemd:/user\n2:cpu,cpuacct:/a:b\n",
			mounts: `30 1 0:1 / / rw - ext4 /dev/sda rw
31 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
32 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct
33 30 0:31 / /never/read rw - cgroup cgroup rw,cpu,cpuacct`,
			want: &Host{Mode: V1, Hierarchies: []Hierarchy{
				{Controllers: []string{"name=systemd"}, Mountpoint: "/sys/fs/cgroup/systemd", Own: "/user"},
				{Controllers: []string{"cpu", "cpuacct"}, Mountpoint: "/sys/fs/cgroup/cpu,cpuacct", Own: "/a:b"},
			}},
			read: 3,
		},
		{
			name: "hybrid; a container's bind mount of it comes first; one hierarchy is not mounted",
			own:  "4:net_cls:/\n2:memory:/x/y\n0::/x/y\n",
			mounts: `31 30 0:2 /docker/c /var/lib/c/sys\040fs/memory rw - cgroup cgroup rw,memory
32 30 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`,
			want: &Host{
				Mode:        Hybrid,
				Hierarchies: []Hierarchy{{Controllers: []string{"memory"}, Mountpoint: "/sys/fs/cgroup/memory", Own: "/x/y"}},
				Unified:     &Hierarchy{Mountpoint: "/sys/fs/cgroup/unified", Own: "/x/y"},
			},
			read: 3,
		},
		{
			name: "in a container without a cgroup namespace",
			own:  "2:memory:/docker/c/init\n1:pids:/elsewhere\n",
			mounts: `31 30 0:2 /docker/c /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 30 0:3 /docker/c /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids`,
			want: &Host{Mode: V1, Hierarchies: []Hierarchy{
				{Controllers: []string{"memory"}, Mountpoint: "/sys/fs/cgroup/memory", Root: "/docker/c", Own: "/init"},
				{Controllers: []string{"pids"}, Mountpoint: "/sys/fs/cgroup/pids", Root: "/docker/c", Own: "/"},
			}},
			read: 2,
		},
		{
			name:   "cgroup2 alone, elsewhere",
			own:    "0::/../sibling\n",
			mounts: `31 30 0:2 / /cg rw - cgroup2 none rw`,
			want:   &Host{Mode: V2, Unified: &Hierarchy{Mountpoint: "/cg", Own: "/"}},
			read:   1,
		},
		{name: "none", own: "0::/\n", mounts: `30 1 0:1 / / rw - ext4 /dev/sda rw`, want: &Host{}, read: 1},
	} {
		next, read := feed(test.mounts)
		if got := mountedHost(test.own, next); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: mountedHost(...) = %+v; want %+v", test.name, got, test.want)
		}
		if *read != test.read {
			t.Errorf("%s: %d lines of mountinfo were read; want %d", test.name, *read, test.read)
		}
	}
}

func TestV2Host(t *testing.T) {
	want := &Host{Mode: V2, Unified: &Hierarchy{Mountpoint: "/sys/fs/cgroup", Own: "/user.slice/a"}}
	if got := v2Host("1:cpu:/\n0::/user.slice/a\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("v2Host(...) = %+v; want %+v", got, want)
	}
}

func FuzzMountedHost(f *testing.F) {
	f.Add("2:memory:/x/y\n0::/x\n", "31 30 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory")
	f.Fuzz(func(t *testing.T, own, mounts string) {
		next, _ := feed(mounts)
		h := mountedHost(own, next)
		for _, x := range h.Hierarchies {
			if len(x.Controllers) == 0 || hasDotDot(x.Own) {
				t.Errorf("bad hierarchy %+v", x)
			}
		}
	})
}
