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
	"github.com/onggi-dev/onggi/specconv"
)

// Runtime creates and finds containers under one state root. Any number of goroutines may use
// it at once.
type Runtime struct {
	options  Options
	store    state.Store
	rootless bool
	resctrl  resctrl.Host
	inUserns bool
}

// InUserNamespace reports whether this process is in a user namespace of its own, whose root
// is not the host's root.
func (r *Runtime) InUserNamespace() bool { return r.inUserns }

// DefaultRoot returns /run/onggi for root and $XDG_RUNTIME_DIR/onggi for other users. The
// root user of a user namespace counts as another user, unless $USER is "root". Without
// XDG_RUNTIME_DIR it is /run/onggi.
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

// New checks the options and returns a Runtime. It creates nothing: the state root is created
// with the first container.
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
		return nil, errors.New("Option --root argument should not be set to /") //nolint:staticcheck // ST1005: runc's words
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

// waiting is span for a part in which this program only waits.
func (r *Runtime) waiting(name string) timeline.Span {
	return r.options.Trace.Begin(timeline.Wait, name)
}

// filters returns the cache of compiled seccomp filters. Its directory cannot be taken for a
// container, because no id contains an "@".
func (r *Runtime) filters() seccomp.Cache {
	return seccomp.Cache{Dir: filepath.Join(r.options.Root, "@seccomp")}
}

// inUserns reports whether this process is in a user namespace of its own. The initial user
// namespace maps all ids to themselves (user_namespaces(7)).
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

// capabilities returns the capabilities that this process can pass on: its permitted set,
// which for root is the bounding set.
func capabilities() uint64 {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
}

// grantable returns the capabilities that a process of the container can have. In a user
// namespace these are all capabilities (user_namespaces(7)).
func grantable(spec *specs.Spec) uint64 {
	if specconv.Namespace(spec, specs.UserNamespace) != nil {
		return 1<<(unix.CAP_LAST_CAP+1) - 1
	}
	return capabilities()
}
