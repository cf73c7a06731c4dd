package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/resctrl"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/libcontainer/timeline"
	"github.com/onggi-dev/onggi/seccomp"
)

// Runtime makes and finds containers under one state root.
type Runtime struct {
	options  Options
	store    state.Store
	rootless bool
	resctrl  resctrl.Host
	inUserns bool
}

// InUserNamespace tells whether this process is in a user namespace of its own,
// whose root is not the host's.
func (r *Runtime) InUserNamespace() bool { return r.inUserns }

// DefaultRoot is /run/onggi for root and $XDG_RUNTIME_DIR/onggi for others,
// also for root of a user namespace that is somebody else outside.
func DefaultRoot() string { return defaultRoot(inUserns()) }

func defaultRoot(inUserns bool) string {
	const system = "/run/onggi"
	if os.Geteuid() == 0 && (!inUserns || os.Getenv("USER") == "root") {
		return system
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "onggi")
	}
	return system
}

// New checks the options. Nothing is made before there is a container.
func New(o Options) (*Runtime, error) {
	userns := inUserns()
	if o.Root == "" {
		o.Root = defaultRoot(userns)
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, err
	}
	if root == "/" {
		return nil, errors.New("Option --root argument should not be set to /")
	}
	o.Root = root
	switch o.CgroupManager {
	case "":
		o.CgroupManager = cgroupfs
	case cgroupfs, cgroupSystemd, cgroupDisabled:
	default:
		return nil, fmt.Errorf("unknown cgroup manager %q: want %s, %s or %s", o.CgroupManager, cgroupfs, cgroupSystemd, cgroupDisabled)
	}
	r := &Runtime{options: o, store: state.Store{Root: root}, inUserns: userns}
	if o.Rootless != nil {
		r.rootless = *o.Rootless
	} else {
		r.rootless = os.Geteuid() != 0 || userns
	}
	return r, nil
}

const (
	cgroupfs       = "cgroupfs"
	cgroupSystemd  = "systemd"
	cgroupDisabled = "disabled"
)

func (r *Runtime) warn(msg string) {
	if r.options.Warn != nil {
		r.options.Warn(msg)
	}
}

func (r *Runtime) warnf(format string, args ...any) { r.warn(fmt.Sprintf(format, args...)) }

// span begins a part of an operation in the trace.
func (r *Runtime) span(name string) timeline.Span { return r.options.Trace.Begin(timeline.Work, name) }

// waiting is span for the time in which others work.
func (r *Runtime) waiting(name string) timeline.Span {
	return r.options.Trace.Begin(timeline.Wait, name)
}

// filters is the cache of compiled seccomp filters. No container can have a
// name with "@".
func (r *Runtime) filters() seccomp.Cache {
	return seccomp.Cache{Dir: filepath.Join(r.options.Root, "@seccomp")}
}

// inUserns tells whether this process is in a user namespace of its own: the
// first one maps all ids to themselves (user_namespaces(7)).
func inUserns() bool {
	var buf [64]byte
	fd, err := unix.Open("/proc/self/uid_map", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return false
	}
	f := strings.Fields(string(buf[:n]))
	return len(f) != 3 || f[0] != "0" || f[1] != "0" || f[2] != strconv.FormatUint(1<<32-1, 10)
}

// capabilities is what this process may pass on: its permitted set, which for
// root is the bounding set.
func capabilities() uint64 {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
}

// grantable is what a process of the container may have: in a user namespace
// of its own, everything (user_namespaces(7)).
func grantable(spec *specs.Spec) uint64 {
	if spec.Linux != nil {
		for _, n := range spec.Linux.Namespaces {
			if n.Type == specs.UserNamespace {
				return 1<<(unix.CAP_LAST_CAP+1) - 1
			}
		}
	}
	return capabilities()
}
