package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	destination      = "org.freedesktop.systemd1"
	managerPath      = "/org/freedesktop/systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
)

// ErrAbsent means that systemd does not run here, or cannot be reached.
var ErrAbsent = errors.New("systemd does not run on this host: use the cgroupfs cgroup manager")

// Property is one property of a unit, as in StartTransientUnit.
type Property struct {
	Name  string
	Value Variant
}

// Manager is a connection to the systemd of the system or of a user.
type Manager struct {
	bus *bus
}

// Open connects to systemd: directly if its socket allows that, else through the
// message bus.
func Open(ctx context.Context, user bool) (*Manager, error) {
	if err := unix.Access("/run/systemd/system", unix.F_OK); err != nil { // sd_booted(3)
		return nil, ErrAbsent
	}
	var errs []error
	for _, a := range addresses(user, os.Getenv) {
		b, err := connect(ctx, a.path, a.private)
		if err == nil {
			return &Manager{b}, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errors.New("the user's systemd cannot be found: neither XDG_RUNTIME_DIR nor DBUS_SESSION_BUS_ADDRESS is set")
	}
	return nil, worst(errs)
}

// worst returns the most useful error: an error of an existing socket before an
// error of a missing one.
func worst(errs []error) error {
	for _, err := range errs {
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return errs[0]
}

// address is a socket, systemd's own or that of a message bus.
type address struct {
	path    string
	private bool
}

func addresses(user bool, getenv func(string) string) []address {
	if !user {
		return append([]address{{"/run/systemd/private", true}}, busAddress(getenv("DBUS_SYSTEM_BUS_ADDRESS"), "/run/dbus/system_bus_socket")...)
	}
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return busAddress(getenv("DBUS_SESSION_BUS_ADDRESS"), "")
	}
	return append([]address{{dir + "/systemd/private", true}}, busAddress(getenv("DBUS_SESSION_BUS_ADDRESS"), dir+"/bus")...)
}

// busAddress returns the unix sockets in a list of addresses
// ("unix:path=/run/bus,guid=…;…"), and standard for an empty list. An abstract name
// begins with "@", as in Go.
func busAddress(list, standard string) []address {
	var all []address
	for a := range strings.SplitSeq(list, ";") {
		rest, _ := strings.CutPrefix(a, "unix:")
		for option := range strings.SplitSeq(rest, ",") {
			if path, ok := strings.CutPrefix(option, "path="); ok {
				all = append(all, address{path, false})
			}
			if name, ok := strings.CutPrefix(option, "abstract="); ok {
				all = append(all, address{"@" + name, false})
			}
		}
	}
	if list == "" && standard != "" {
		all = append(all, address{standard, false})
	}
	return all
}

// Close ends the connection.
func (m *Manager) Close() { m.bus.close() }

// call calls a method of systemd's manager.
func (m *Manager) call(ctx context.Context, method, sig string, args ...any) (*message, error) {
	return m.bus.call(ctx, destination, managerPath, managerInterface, method, sig, args...)
}

// property returns a property of the manager that is a string.
func (m *Manager) property(ctx context.Context, name string) (string, error) {
	reply, err := m.bus.call(ctx, destination, managerPath, "org.freedesktop.DBus.Properties", "Get", "ss", managerInterface, name)
	if err != nil {
		return "", err
	}
	v, err := reply.values("v")
	if err != nil {
		return "", err
	}
	s, ok := v[0].(string)
	if !ok {
		return "", errMessage
	}
	return s, nil
}

// Root returns the cgroup that contains systemd's slices: "/", or the user
// manager's own.
func (m *Manager) Root(ctx context.Context) (string, error) { return m.property(ctx, "ControlGroup") }

// Version returns the number of systemd's version: 252 of "252.39-1~deb12u1".
func (m *Manager) Version(ctx context.Context) (int, error) {
	text, err := m.property(ctx, "Version")
	if err != nil {
		return 0, err
	}
	return parseVersion(text)
}

func parseVersion(text string) (int, error) {
	digits := strings.TrimPrefix(text, "v")
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("systemd's version %q has no number", text)
	}
	return n, nil
}

// Start starts a unit and waits for the end of the job. It first removes a failed
// unit of the same name.
func (m *Manager) Start(ctx context.Context, unit string, properties []Property) error {
	err := m.start(ctx, unit, properties)
	if refused(err, "UnitExists") {
		if err := m.resetFailed(ctx, unit); err != nil {
			return err
		}
		err = m.start(ctx, unit, properties)
	}
	return err
}

func (m *Manager) start(ctx context.Context, unit string, properties []Property) error {
	// "replace": a conflicting job, of a unit that is ending, gives way.
	return m.job(ctx, unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", arguments(properties), []any{})
}

// Set changes properties of a unit, until the next boot.
func (m *Manager) Set(ctx context.Context, unit string, properties []Property) error {
	if len(properties) == 0 {
		return nil
	}
	_, err := m.call(ctx, "SetUnitProperties", "sba(sv)", unit, true, arguments(properties))
	return err
}

// Stop ends a unit and the processes in it, and clears its failure. A missing unit is
// no error.
func (m *Manager) Stop(ctx context.Context, unit string) error {
	err := m.job(ctx, unit, "StopUnit", "ss", unit, "replace")
	if err != nil && !refused(err, "NoSuchUnit") {
		return err
	}
	return m.resetFailed(ctx, unit)
}

func (m *Manager) resetFailed(ctx context.Context, unit string) error {
	_, err := m.call(ctx, "ResetFailedUnit", "s", unit)
	if refused(err, "NoSuchUnit") {
		return nil
	}
	return err
}

// job calls a method that begins a job, and waits for the end of the job.
func (m *Manager) job(ctx context.Context, unit, method, sig string, args ...any) error {
	reply, err := m.call(ctx, method, sig, args...)
	if err != nil {
		return err
	}
	job, err := reply.values("o")
	if err != nil {
		return err
	}
	for {
		s, err := m.bus.nextSignal(ctx, "waiting for "+method+" of "+unit)
		if err != nil {
			return err
		}
		if s.text(fieldMember) != "JobRemoved" {
			continue
		}
		removed, err := s.values("uoss") // id, job, unit, result
		if err != nil {
			return err
		}
		if removed[1] != job[0] {
			continue
		}
		if removed[3] != "done" {
			return fmt.Errorf("systemd: %s of %s: %v (see journalctl -u %[2]s)", method, unit, removed[3])
		}
		return nil
	}
}

// refused reports whether err is this refusal of systemd.
func refused(err error, name string) bool {
	var e *CallError
	return errors.As(err, &e) && e.Name == destination+"."+name
}

func arguments(properties []Property) []any {
	all := []any{}
	for _, p := range properties {
		all = append(all, []any{p.Name, p.Value})
	}
	return all
}
