package libcontainer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/specconv"
)

// process returns the process to run: the options, laid over the container's own
// process.
func (o *ExecOptions) process(spec *specs.Spec) (*specs.Process, error) {
	if o.Process != nil {
		return confined(*o.Process, spec.Process), nil
	}
	if spec.Process == nil {
		return nil, errors.New("the container's configuration has no process: give a complete one")
	}
	p := *spec.Process
	p.Args, p.Terminal, p.ConsoleSize = o.Args, o.Tty, nil
	p.Env = append(slices.Clone(p.Env), o.Env...)
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	if o.NoNewPrivs {
		p.NoNewPrivileges = true
	}
	if o.Apparmor != "" {
		p.ApparmorProfile = o.Apparmor
	}
	if o.ProcessLabel != "" {
		p.SelinuxLabel = o.ProcessLabel
	}
	p.User.AdditionalGids = append(slices.Clone(p.User.AdditionalGids), o.AdditionalGids...)
	if err := o.user(&p); err != nil {
		return nil, err
	}
	return &p, o.capabilities(&p)
}

// confined completes a process that the caller has described in full with the
// container's confinement. A process without capabilities does not get all that the
// runtime has. runc does the same, except for the resource limits.
func confined(p specs.Process, own *specs.Process) *specs.Process {
	if own == nil {
		own = &specs.Process{}
	}
	if p.Capabilities == nil {
		p.Capabilities = own.Capabilities
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = own.ApparmorProfile
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = own.SelinuxLabel
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = own.Rlimits
	}
	return &p
}

// user sets uid and gid from digits only. A name would have to be looked up in a file
// of the container (CVE-2016-3697), and a number that is too large must not become
// root (CVE-2026-30892).
func (o *ExecOptions) user(p *specs.Process) error {
	if o.User == "" {
		return nil
	}
	uid, gid, both := strings.Cut(o.User, ":")
	u, err := parseID(uid)
	if err != nil {
		return fmt.Errorf("user %q: bad uid: %w", o.User, err)
	}
	g := p.User.GID
	if both {
		if g, err = parseID(gid); err != nil {
			return fmt.Errorf("user %q: bad gid: %w", o.User, err)
		}
	}
	p.User.UID, p.User.GID = u, g
	return nil
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil || s[0] == '+':
		return 0, errors.New("want uid[:gid], both numbers from 0 to 4294967294")
	case n == 1<<32-1:
		return 0, errors.New("4294967295 means \"no id\"")
	}
	return uint32(n), nil
}

// capabilities adds capabilities to the bounding, effective and permitted sets, and to
// the ambient set if config.json has an inheritable set. runc does the same. The
// inheritable set does not change (CVE-2022-29162): a capability outside of it does
// not become ambient.
func (o *ExecOptions) capabilities(p *specs.Process) error {
	if len(o.Caps) == 0 {
		return nil
	}
	if _, unknown := specconv.CapabilityMask(o.Caps); len(unknown) > 0 {
		return fmt.Errorf("unknown capabilities: %q", unknown)
	}
	var c specs.LinuxCapabilities
	if p.Capabilities != nil {
		c = *p.Capabilities
	}
	sets := []*[]string{&c.Bounding, &c.Effective, &c.Permitted}
	if c.Inheritable != nil {
		sets = append(sets, &c.Ambient)
	}
	for _, set := range sets {
		*set = append(slices.Clone(*set), o.Caps...)
	}
	p.Capabilities = &c
	return nil
}

func checkProcess(spec *specs.Spec, p *specs.Process, o ExecOptions) error {
	if err := specconv.ValidateProcess(spec, p); err != nil {
		return oneLine(err)
	}
	switch {
	case p.Terminal && o.ConsoleSocket == "" && o.Console == nil:
		return &Failure{Field: "/process/terminal", Err: ErrNoConsole}
	case !p.Terminal && o.ConsoleSocket != "":
		return errors.New("cannot use console socket if the runtime will not detach or allocate tty")
	}
	return nil
}
