package cgroup

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// DefaultDevices returns the rules that every container gets after its own. They
// allow mknod of any node and the use of the default devices (config-linux.md,
// "Default Devices"), of pseudo-terminals and of tun.
func DefaultDevices() []specs.LinuxDeviceCgroup {
	const any = -1
	allow := func(typ string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: typ, Access: access}
		if major != any {
			r.Major = &major
		}
		if minor != any {
			r.Minor = &minor
		}
		return r
	}
	return []specs.LinuxDeviceCgroup{
		allow("c", any, any, "m"),
		allow("b", any, any, "m"),
		allow("c", 1, 3, "rwm"),     // null
		allow("c", 1, 5, "rwm"),     // zero
		allow("c", 1, 7, "rwm"),     // full
		allow("c", 1, 8, "rwm"),     // random
		allow("c", 1, 9, "rwm"),     // urandom
		allow("c", 5, 0, "rwm"),     // tty
		allow("c", 136, any, "rwm"), // pts/*
		allow("c", 5, 2, "rwm"),     // ptmx
		allow("c", 10, 200, "rwm"),  // net/tun
	}
}

// access is a set of operations on a device node, in the bits of the kernel's
// BPF_DEVCG_ACC_*.
type access uint8

const (
	mknod access = 1 << iota
	readable
	writable

	allAccess = mknod | readable | writable
)

func (a access) String() string {
	s := ""
	if a&readable != 0 {
		s += "r"
	}
	if a&writable != 0 {
		s += "w"
	}
	if a&mknod != 0 {
		s += "m"
	}
	return s
}

// wildcard means every major or minor number.
const wildcard = -1

// nodes is a set of device nodes.
type nodes struct {
	kind         byte // 'b' or 'c'
	major, minor int64
}

// covers reports whether n contains all nodes of o.
func (n nodes) covers(o nodes) bool {
	return n.kind == o.kind &&
		(n.major == wildcard || n.major == o.major) &&
		(n.minor == wildcard || n.minor == o.minor)
}

// meets reports whether n and o have a node in common.
func (n nodes) meets(o nodes) bool {
	return n.kind == o.kind &&
		(n.major == wildcard || o.major == wildcard || n.major == o.major) &&
		(n.minor == wildcard || o.minor == wildcard || n.minor == o.minor)
}

// rule is one exception of a policy. Its text is that of the v1 files: "c 1:3 rwm".
type rule struct {
	nodes
	allow  bool
	access access
}

func (r rule) String() string {
	number := func(n int64) string {
		if n == wildcard {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%c %s:%s %v", r.kind, number(r.major), number(r.minor), r.access)
}

// policy is a list of device rules, without the rules that later ones override. For
// each access the last matching rule decides. Without a match, allow decides.
type policy struct {
	allow bool
	rules []rule
}

// newPolicy returns the result of applying rules in order to a cgroup that allows
// no device.
func newPolicy(rules []specs.LinuxDeviceCgroup) (policy, error) {
	var errs []error
	p := policy{rules: make([]rule, 0, len(rules))} // a list that grows touches new pages for each size
	for i, d := range rules {
		rs, err := parseRule(d)
		if err != nil {
			field, err := SplitField(err)
			errs = append(errs, &FieldError{resources + "/devices/" + strconv.Itoa(i) + field, err})
			continue
		}
		if rs == nil {
			p = policy{allow: d.Allow, rules: p.rules[:0]}
		}
		for _, r := range rs {
			p.add(r)
		}
	}
	return p, oneLine(errs)
}

// DeviceRule is a rule for one kind of device nodes, 'b' or 'c'. A negative number
// means all numbers.
type DeviceRule struct {
	Kind         byte
	Major, Minor int64
	Allow        bool
	Access       string
}

// Devices returns the effect of device rules: the answer for devices without a
// rule, and the rules that no later rule overrides.
func Devices(rules []specs.LinuxDeviceCgroup) (allow bool, left []DeviceRule, err error) {
	p, err := newPolicy(rules)
	for _, r := range p.rules {
		left = append(left, DeviceRule{r.kind, r.major, r.minor, r.allow, r.access.String()})
	}
	return p.allow, left, err
}

// parseRule converts a rule. The field of an error is relative to the rule. Type "a"
// with a restriction gives two rules. A rule about all devices gives none: it replaces
// all rules before it.
func parseRule(d specs.LinuxDeviceCgroup) ([]rule, error) {
	acc, err := parseAccess(d.Access)
	if err != nil {
		return nil, err
	}
	n := nodes{major: number(d.Major), minor: number(d.Minor)}
	if max(n.major, n.minor) > math.MaxUint32 || min(n.major, n.minor) < wildcard {
		return nil, errors.New("no such device number")
	}
	switch d.Type {
	case "b", "c":
		n.kind = d.Type[0]
		return []rule{{n, d.Allow, acc}}, nil
	case "a", "":
		if n.major == wildcard && n.minor == wildcard && acc == allAccess {
			return nil, nil
		}
		b, c := n, n
		b.kind, c.kind = 'b', 'c'
		return []rule{{b, d.Allow, acc}, {c, d.Allow, acc}}, nil
	}
	return nil, fieldError("/type", "%q is not a, b or c", d.Type)
}

func number(n *int64) int64 {
	if n == nil {
		return wildcard
	}
	return *n
}

// parseAccess parses "rwm". The empty string means all operations.
func parseAccess(s string) (access, error) {
	if s == "" {
		return allAccess, nil
	}
	var a access
	for _, c := range s {
		switch c {
		case 'r':
			a |= readable
		case 'w':
			a |= writable
		case 'm':
			a |= mknod
		case 'a': // no effect beside r, w and m
		default:
			return 0, fieldError("/access", "%q has a letter other than r, w and m", s)
		}
	}
	return a, nil
}

// add applies r after the present rules. r removes its access bits from each
// covered rule that decides the opposite. A covered rule that decides the same is
// removed only if r contains all of its bits: the v1 controller allows an access
// only if one rule has all of it.
func (p *policy) add(r rule) {
	kept := p.rules[:0] // in place: avoids copying lists of thousands for each rule
	for _, e := range p.rules {
		if rest := e.access &^ r.access; r.covers(e.nodes) && (e.allow != r.allow || rest == 0) {
			e.access = rest
		}
		if e.access != 0 {
			kept = append(kept, e)
		}
	}
	p.rules = kept
	if r.allow == p.allow && !p.contradicts(r) {
		return
	}
	if i := p.mergeable(r); i >= 0 {
		p.rules[i].access |= r.access
		return
	}
	p.rules = append(p.rules, r)
}

// contradicts reports whether a present rule decides the opposite about some access
// of r.
func (p *policy) contradicts(r rule) bool {
	for _, e := range p.rules {
		if e.allow != r.allow && e.access&r.access != 0 && e.meets(r.nodes) {
			return true
		}
	}
	return false
}

// mergeable returns the index of a rule for exactly the nodes of r that r can join,
// or -1. No rule after it may decide the opposite about those nodes.
func (p *policy) mergeable(r rule) int {
	for i := len(p.rules) - 1; i >= 0; i-- {
		e := p.rules[i]
		if e.nodes == r.nodes && e.allow == r.allow {
			return i
		}
		if e.allow != r.allow && e.meets(r.nodes) {
			return -1
		}
	}
	return -1
}

// allows returns the policy's decision about one access to one node.
func (p policy) allows(n nodes, a access) bool {
	for i := len(p.rules) - 1; i >= 0; i-- {
		r := p.rules[i]
		if !r.covers(n) {
			continue
		}
		if r.allow {
			if a &^= r.access; a == 0 {
				return true
			}
		} else if a&r.access != 0 {
			return false
		}
	}
	return p.allow
}

// checkV1 returns an error if the v1 controller cannot express the policy. That
// controller has a default, and all its exceptions are of the opposite kind.
func (p policy) checkV1() error {
	for _, r := range p.rules {
		if r.allow == p.allow {
			return fieldError(resources+"/devices", "cgroup v1 cannot express an exception (%v) to a broader rule", r)
		}
	}
	return nil
}

// CheckDevices returns an error if the rules cannot be applied. The runtime calls
// it before it passes the rules to systemd, which takes seconds for thousands.
func (p Paths) CheckDevices(rules []specs.LinuxDeviceCgroup) error {
	d, ok := p.find("devices")
	if !ok {
		return nil
	}
	policy, err := newPolicy(rules)
	if err != nil {
		return err
	}
	if d.Controllers != nil {
		return policy.checkV1()
	}
	return policy.checkSize(policy.program())
}

// setDevices applies the device rules to a new cgroup.
func (a *applier) setDevices(r *specs.LinuxResources, o SetOptions) error {
	rules := o.Devices
	if r != nil {
		rules = append(r.Devices[:len(r.Devices):len(r.Devices)], o.Devices...)
	}
	d, ok := a.paths.find("devices")
	if len(rules) == 0 || !ok && a.paths.none() {
		return nil
	}
	if !ok {
		return fieldError(resources+"/devices", "the devices controller is not mounted on this host")
	}
	p, err := newPolicy(rules)
	if err != nil {
		return err
	}
	g, err := a.group(d.Abs())
	if err != nil {
		return err
	}
	if d.Controllers == nil {
		err = attachDevices(g, p)
	} else {
		err = setDevicesV1(g, p)
	}
	if o.Rootless && errors.Is(err, unix.EPERM) {
		a.warn("the runtime lacks the privilege for device rules and leaves them out: " + err.Error())
		return nil
	}
	return err
}

// updateDevices applies new device rules to a cgroup in use.
func (a *applier) updateDevices(r *specs.LinuxResources, o SetOptions) error {
	d, ok := a.paths.find("devices")
	if !ok || d.Controllers == nil {
		return a.setDevices(r, o) // the kernel replaces the program in one step or not at all
	}
	p, err := newPolicy(append(r.Devices[:len(r.Devices):len(r.Devices)], o.Devices...))
	if err != nil {
		return err
	}
	g, err := a.group(d.Abs())
	if err != nil {
		return err
	}
	return updateDevicesV1(g, p)
}

// setDevicesV1 first allows or denies all devices, then writes the exceptions.
func setDevicesV1(g group, p policy) error {
	if err := p.checkV1(); err != nil {
		return err
	}
	whole, exceptions := "devices.deny", "devices.allow"
	if p.allow {
		whole, exceptions = exceptions, whole
	}
	if err := writeRules(g, whole, "a"); err != nil {
		return err
	}
	return writeRules(g, exceptions, ruleTexts(p.rules)...)
}

// updateDevicesV1 writes only the difference between old and new rules, so that
// processes in the cgroup keep every access that both allow. It cannot do so if
// either policy allows everything; then it writes the new policy whole. After an
// error it restores the old rules.
func updateDevicesV1(g group, p policy) error {
	if err := p.checkV1(); err != nil {
		return err
	}
	text, err := g.read("devices.list")
	if err != nil {
		return err
	}
	old, err := parseList(text)
	if err != nil {
		return fmt.Errorf("%s: %w", g.join("devices.list"), err)
	}
	if old.allow || p.allow {
		err = setDevicesV1(g, p)
	} else {
		err = changeRules(g, old, p)
	}
	if err == nil {
		return nil
	}
	if failed := setDevicesV1(g, old); failed != nil {
		return fmt.Errorf("old device rules are not restored (%w): %w", failed, err)
	}
	return err
}

// changeRules changes the set of allowed devices. It adds the new ones before it
// removes old ones, so that no common device is missing in between.
func changeRules(g group, from, to policy) error {
	if err := writeRules(g, "devices.allow", ruleTexts(beyond(to, from))...); err != nil {
		return err
	}
	return writeRules(g, "devices.deny", ruleTexts(beyond(from, to))...)
}

// beyond returns the access that p's rules have and q's rules lack. It compares
// rules with the same nodes only: the v1 controller knows no other relation.
func beyond(p, q policy) []rule {
	var rs []rule
	for _, r := range p.rules {
		for _, e := range q.rules {
			if e.nodes == r.nodes {
				r.access &^= e.access
			}
		}
		if r.access != 0 {
			rs = append(rs, r)
		}
	}
	return rs
}

// parseList parses devices.list. A cgroup that allows everything does not list its
// exceptions.
func parseList(text string) (policy, error) {
	var p policy
	for line := range strings.Lines(text) {
		f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '\n' })
		if len(f) != 4 {
			return policy{}, fmt.Errorf("unknown line %q", line)
		}
		if f[0] == "a" {
			return policy{allow: true}, nil
		}
		acc, err := parseAccess(f[3])
		if err != nil {
			return policy{}, err
		}
		p.rules = append(p.rules, rule{nodes{f[0][0], listNumber(f[1]), listNumber(f[2])}, true, acc})
	}
	return p, nil
}

// listNumber parses a device number that the kernel wrote to devices.list.
func listNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return wildcard // "*"
	}
	return n
}

func ruleTexts(rs []rule) []string {
	texts := make([]string, len(rs))
	for i, r := range rs {
		texts[i] = r.String()
	}
	return texts
}

// writeRules writes rules to devices.allow or devices.deny, one write(2) each.
func writeRules(g group, file string, rules ...string) error {
	if len(rules) == 0 {
		return nil
	}
	fail := func(value string, err error) error {
		e := &FileError{Field: resources + "/devices", Op: "write", Path: g.join(file), Value: value, Err: err}
		switch err {
		case unix.EPERM:
			e.Hint = "the cgroup above does not allow it, or the runtime has no privilege"
		case unix.EINVAL:
			e.Hint = "cgroups below it stand in the way, or no such rule"
		}
		return e
	}
	fd, err := openat(g.fd, file, unix.O_WRONLY)
	if err != nil {
		return fail(rules[0], err)
	}
	defer unix.Close(fd)
	for _, r := range rules {
		if err := writeAll(fd, r); err != nil {
			return fail(r, err)
		}
	}
	return nil
}
