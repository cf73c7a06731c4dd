package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/lsm"
	"github.com/onggi-dev/onggi/specconv"
)

// Finding is one problem of a bundle that Check has found.
type Finding struct {
	Field   string `json:"field,omitempty"`   // JSON pointer into config.json
	Message string `json:"message"`           //
	Warning bool   `json:"warning,omitempty"` // the container can be created, but not quite as requested
}

// String returns the finding as one line.
func (f Finding) String() string {
	s := "error: "
	if f.Warning {
		s = "warning: "
	}
	if f.Field != "" {
		s += f.Field + ": "
	}
	return s + f.Message
}

// Check returns all problems of a bundle, and everything that this host lacks for it. It
// makes, mounts and starts nothing. Some problems show only inside the container, such as
// a missing program; these are left to create. The error is about a configuration that
// cannot be read, or about the end of ctx.
func (r *Runtime) Check(ctx context.Context, o CreateOptions) (_ []Finding, err error) {
	defer bug.Caught(&err)
	in := &inspection{ctx: ctx, root: "/"}
	silent := *r
	silent.options.Warn = in.warning
	if o.Console == nil && o.ConsoleSocket == "" {
		o.Console = discardConsole // create will have one
	}
	in.creation = &creation{Runtime: &silent, id: "check", o: o}
	if err := in.load(); err != nil {
		return nil, err
	}
	in.spec = in.config.Spec
	defer func() { in.scope.close() }() // makePlan may have opened it
	in.bundleItself()
	in.host()
	return in.findings, ctx.Err()
}

// inspection is one call of Check.
type inspection struct {
	*creation
	ctx      context.Context
	root     string // prefix of /proc and /sys, for tests
	spec     *specs.Spec
	findings []Finding
}

func (in *inspection) add(field, format string, args ...any) {
	in.findings = append(in.findings, Finding{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (in *inspection) doubt(field, format string, args ...any) {
	in.findings = append(in.findings, Finding{Field: field, Message: fmt.Sprintf(format, args...), Warning: true})
}

// warning adds a warning of create to the findings.
func (in *inspection) warning(msg string) {
	field, rest, ok := strings.Cut(msg, ": ")
	if !ok || !strings.HasPrefix(field, "/") {
		field, rest = "", msg
	}
	in.doubt(field, "%s", rest)
}

// note adds an error to the findings. A joined error becomes several findings.
func (in *inspection) note(err error) {
	var joined interface{ Unwrap() []error }
	var problems specconv.Problems
	var failure *Failure
	switch {
	case err == nil:
	case errors.As(err, &problems):
		for _, p := range problems {
			in.add(p.Pointer, "%s", p.Message)
		}
	case errors.As(err, &joined):
		for _, e := range joined.Unwrap() {
			in.note(e)
		}
	case errors.As(err, &failure):
		rest := *failure
		rest.Field = ""
		in.add(failure.Field, "%s", rest.Error())
	default:
		in.add("", "%s", err)
	}
}

// bundleItself makes the checks that create makes before it changes anything.
func (in *inspection) bundleItself() {
	err := specconv.Validate(in.spec)
	in.note(err)
	for _, w := range append(in.config.Warnings, specconv.Warnings(in.spec)...) {
		in.warning(w)
	}
	in.note(checkLabels(lsm.Host{}, in.spec))
	in.note(in.checkPrivilege())
	in.note(in.findRootfs(in.ctx))
	if err == nil {
		in.note(in.makePlan(in.ctx))
		in.note(in.checkResctrl())
	}
}
