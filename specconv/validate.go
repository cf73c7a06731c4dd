package specconv

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Problem is one problem of a configuration.
type Problem struct {
	Pointer string // JSON pointer (RFC 6901) of the property
	Message string // the problem, in words
}

// String returns "pointer: message".
func (p Problem) String() string { return p.Pointer + ": " + p.Message }

// Problems are all problems of a configuration, as an error of one line.
type Problems []Problem

// Error joins the problems with "; ".
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "; ")
}

// Validate finds every value of a configuration that the specification forbids
// or that onggi does not support. It returns them all as [Problems], or nil.
//
// A configuration without a process is valid (config.md, "Process"). Use
// [RequireProcess] to require one.
func Validate(s *specs.Spec) error {
	if s == nil {
		return errors.New("there is no configuration")
	}
	c := &checker{spec: s}
	c.version()
	c.root()
	c.names()
	c.mounts()
	c.hooks()
	c.annotations()
	if s.Process != nil {
		c.process(s.Process, "process")
	}
	if s.Linux != nil {
		c.linux(s.Linux)
	}
	return c.err()
}

// RequireProcess checks that there is a process. Starting a container needs one
// (runtime.md, "Start"); creating a container does not.
func RequireProcess(s *specs.Spec) error {
	if s.Process == nil {
		return Problems{{at("process"), "process property must not be empty"}}
	}
	return nil
}

// ValidateProcess checks a process for exec in a container with the
// configuration s. Its pointers start at the process itself.
func ValidateProcess(s *specs.Spec, p *specs.Process) error {
	c := &checker{spec: s}
	c.process(p)
	return c.err()
}

// ValidateMounts checks mounts for a running container with the configuration s.
// Its pointers start at the list.
func ValidateMounts(s *specs.Spec, mounts []specs.Mount) error {
	c := &checker{spec: s}
	for i := range mounts {
		c.mount(&mounts[i], i)
	}
	return c.err()
}

// ValidateResources checks the limits of an update. Its pointers start at the
// resources.
func ValidateResources(r *specs.LinuxResources) error {
	c := &checker{spec: &specs.Spec{}}
	c.resources(r)
	return c.err()
}

// ValidateIntelRdt checks a class of service of an update. Its pointers start at
// the configuration, with /linux/intelRdt.
func ValidateIntelRdt(r *specs.LinuxIntelRdt) error {
	c := &checker{spec: &specs.Spec{}}
	c.intelRdt(r)
	return c.err()
}

// Warnings returns the requests of a configuration that the runtime will not
// fulfil, where the specification requires a warning and no failure.
func Warnings(s *specs.Spec) []string {
	c := &checker{spec: s}
	if s.Process != nil && s.Process.Capabilities != nil {
		c.capabilityWarnings(s.Process.Capabilities, "process", "capabilities")
	}
	for i, m := range s.Mounts {
		if m.Destination != "" && !path.IsAbs(m.Destination) {
			c.add(at("mounts", i, "destination"), "relative path %q is deprecated, taken as relative to /", m.Destination)
		}
	}
	c.accessWarnings()
	var warnings []string
	for _, p := range c.problems {
		warnings = append(warnings, p.String())
	}
	return warnings
}

// checker collects problems. Each method checks one part of the configuration.
// The tokens are the JSON pointer of that part.
type checker struct {
	spec     *specs.Spec
	problems Problems
}

func (c *checker) add(pointer, format string, args ...any) {
	c.problems = append(c.problems, Problem{pointer, fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return c.problems
}

func (c *checker) has(t specs.LinuxNamespaceType) bool { return Namespace(c.spec, t) != nil }

// version requires a semantic version (semver.org, 2.0.0) with the major version
// of this runtime: other major versions are not compatible.
func (c *checker) version() {
	major, ok := semverMajor(c.spec.Version)
	switch {
	case c.spec.Version == "":
		c.add(at("ociVersion"), "required")
	case !ok:
		c.add(at("ociVersion"), "%q is not a semantic version", c.spec.Version)
	case major != strconv.Itoa(specs.VersionMajor):
		c.add(at("ociVersion"), "version %s is not supported, only %d.x is", c.spec.Version, specs.VersionMajor)
	}
}

// semverMajor parses MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD].
func semverMajor(v string) (major string, ok bool) {
	v, build, hasBuild := strings.Cut(v, "+")
	core, pre, hasPre := strings.Cut(v, "-")
	numbers := strings.Split(core, ".")
	ok = len(numbers) == 3 &&
		(!hasBuild || identifiers(build, false)) &&
		(!hasPre || identifiers(pre, true))
	for _, n := range numbers {
		ok = ok && numeric(n) && identifiers(n, true)
	}
	return numbers[0], ok
}

// identifiers checks a dot-separated list of [0-9A-Za-z-]+. In a pre-release,
// numbers must not have leading zeros.
func identifiers(list string, pre bool) bool {
	for id := range strings.SplitSeq(list, ".") {
		if id == "" || strings.Trim(id, alphanumeric+"-") != "" {
			return false
		}
		if pre && len(id) > 1 && id[0] == '0' && numeric(id) {
			return false
		}
	}
	return true
}

const (
	digits       = "0123456789"
	alphanumeric = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func numeric(s string) bool { return s != "" && strings.Trim(s, digits) == "" }

func (c *checker) root() {
	switch root := c.spec.Root; {
	case root == nil:
		c.add(at("root"), "root must be specified")
	case root.Path == "":
		c.add(at("root", "path"), "required")
	case hasNUL(root.Path):
		c.add(at("root", "path"), "has a NUL character")
	case root.Readonly && !c.has(specs.MountNamespace):
		c.add(at("root", "readonly"), "needs a mount namespace")
	}
}

// utsNameLen is __NEW_UTS_LEN of <linux/utsname.h>.
const utsNameLen = 64

func (c *checker) names() {
	for _, n := range [...]struct{ property, value string }{
		{"hostname", c.spec.Hostname},
		{"domainname", c.spec.Domainname},
	} {
		switch {
		case n.value == "":
		case !c.has(specs.UTSNamespace):
			c.add(at(n.property), "unable to set %s without a private UTS namespace: it would be the host's", n.property)
		case len(n.value) > utsNameLen:
			c.add(at(n.property), "longer than %d bytes", utsNameLen)
		case hasNUL(n.value):
			c.add(at(n.property), "has a NUL character")
		}
	}
}

func (c *checker) mounts() {
	if len(c.spec.Mounts) > 0 && !c.has(specs.MountNamespace) {
		c.add(at("mounts"), "need a mount namespace: they would be the host's")
	}
	for i := range c.spec.Mounts {
		c.mount(&c.spec.Mounts[i], "mounts", i)
	}
}

func (c *checker) mount(m *specs.Mount, tokens ...any) {
	if m.Destination == "" {
		c.add(at(append(tokens, "destination")...), "required")
	}
	if hasNUL(m.Destination) || hasNUL(m.Source) || hasNUL(m.Type) {
		c.add(at(tokens...), "has a NUL character")
	}
	o, err := ParseMountOptions(m.Type, m.Options)
	if err != nil {
		c.add(at(append(tokens, "options")...), "%v", err)
	}
	switch {
	case o.Bind && !o.Remount && m.Source == "":
		c.add(at(append(tokens, "source")...), "required for a bind mount")
	case !o.Bind && !o.Remount && m.Type == "" && err == nil:
		c.add(at(append(tokens, "type")...), "required for a mount that is not a bind mount")
	}
	c.idmap(m, o, tokens)
}

// idmap requires uidMappings and gidMappings together. A mount with an id mapping
// needs them, or a user namespace that provides the mapping.
func (c *checker) idmap(m *specs.Mount, o MountOptions, tokens []any) {
	uids, gids := len(m.UIDMappings) > 0, len(m.GIDMappings) > 0
	switch {
	case uids != gids:
		c.add(at(tokens...), "id-mapped mounts must have both uid and gid mappings specified")
	case !uids && (o.Idmap || o.Ridmap) && !c.has(specs.UserNamespace):
		c.add(at(append(tokens, "options")...), "id-mapped mounts must have both uid and gid mappings specified, or a user namespace")
	}
	c.mappings(m.UIDMappings, append(tokens, "uidMappings"))
	c.mappings(m.GIDMappings, append(tokens, "gidMappings"))
}

func (c *checker) hooks() {
	for _, list := range HookLists(c.spec.Hooks) {
		for i, hook := range list.Hooks {
			c.hook(hook, "hooks", list.Kind, i)
		}
	}
}

func (c *checker) hook(h specs.Hook, tokens ...any) {
	c.absolute(h.Path, append(tokens, "path"))
	if h.Timeout != nil && *h.Timeout <= 0 {
		c.add(at(append(tokens, "timeout")...), "%d is not greater than zero", *h.Timeout)
	}
	if slices.ContainsFunc(h.Args, hasNUL) || slices.ContainsFunc(h.Env, hasNUL) {
		c.add(at(tokens...), "has a NUL character in args or env")
	}
}

func (c *checker) annotations() {
	if _, ok := c.spec.Annotations[""]; ok {
		c.add(at("annotations", ""), "an annotation's key must not be empty")
	}
	c.knownAnnotations()
}

// absolute requires an absolute path.
func (c *checker) absolute(p string, tokens []any) {
	switch {
	case p == "":
		c.add(at(tokens...), "required")
	case !path.IsAbs(p):
		c.add(at(tokens...), "%q is not an absolute path", p)
	case hasNUL(p):
		c.add(at(tokens...), "has a NUL character")
	}
}

// noID is (uid_t)-1, which means "no change" to setresuid(2) and chown(2).
const noID = 1<<32 - 1

func (c *checker) id(id uint32, tokens ...any) {
	if id == noID {
		c.add(at(tokens...), "%d is not a valid id", id)
	}
}

// hasNUL reports a NUL character. A kernel string ends there, so the kernel would
// use another string than the checked one.
func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// sorted iterates over a map in the order of its keys, so that messages are
// stable.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
