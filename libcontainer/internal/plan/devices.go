package plan

import (
	"path"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// defaultDevices are those of config-linux.md, "Default Devices". Missing are
// console, which the terminal provides, and ptmx, which is a symlink.
var defaultDevices = []struct {
	path         string
	major, minor int64
}{
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
}

// defaultLinks are those of runtime-linux.md, "Dev symbolic links", and
// /dev/core, which runc and crun create too.
var defaultLinks = [][2]string{
	{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", kcore},
}

const (
	ptmx  = "/dev/ptmx"
	kcore = "/proc/kcore" // exists with CONFIG_PROC_KCORE
)

func (b *builder) devices(ns *namespaces) {
	if !ns.has(unix.CLONE_NEWNS) || b.hostDev() {
		return
	}
	bind := ns.has(unix.CLONE_NEWUSER) || b.Host.InUserns
	own := map[string]bool{}
	for _, d := range b.linux.Devices {
		own[path.Clean(d.Path)] = true
	}
	for _, d := range defaultDevices {
		if !own[d.path] {
			b.device("", bind, Device{At: b.place(d.path), Type: "c", Major: d.major, Minor: d.minor, Mode: 0o666}, d.path)
		}
	}
	for i, d := range b.linux.Devices {
		if path.Clean(d.Path) == ptmx {
			continue // the symlink below leads to the container's own ptmx
		}
		b.device("/linux/devices/"+strconv.Itoa(i), bind, configured(b, d), d.Path)
	}
	for _, l := range defaultLinks {
		if l[1] == kcore && b.Host.NoKcore {
			continue
		}
		b.add("", Symlink{Target: l[1], At: b.place(l[0])})
	}
	b.add("", Symlink{Target: "pts/ptmx", At: b.place(ptmx), Force: true})
}

func (b *builder) device(field string, bind bool, d Device, host string) {
	if bind && d.Type != "p" {
		d.FromHost = host
	}
	b.add(field, d)
}

func configured(b *builder, d specs.LinuxDevice) Device {
	s := Device{At: b.place(d.Path), Type: d.Type, Major: d.Major, Minor: d.Minor, Mode: 0o666}
	if d.Type == "u" {
		s.Type = "c" // unbuffered; Linux makes no difference
	}
	if d.FileMode != nil {
		s.Mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		s.UID = *d.UID
	}
	if d.GID != nil {
		s.GID = *d.GID
	}
	return s
}

// hostDev reports whether /dev is a bind mount. Then it belongs to the caller,
// and the plan puts nothing there.
func (b *builder) hostDev() bool {
	for _, m := range b.Spec.Mounts {
		if path.Clean(m.Destination) != "/dev" {
			continue
		}
		if o, err := specconv.ParseMountOptions(m.Type, m.Options); err == nil && (o.Bind || m.Type == "bind") {
			return true
		}
	}
	return false
}
