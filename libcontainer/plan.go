package libcontainer

import (
	"context"
	"os"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// Plan is the list of steps that Create or Restore would execute.
type Plan struct{ steps *plan.Plan }

// Plan returns the steps that Create would execute for these options. It needs no privileges
// and changes nothing.
func (r *Runtime) Plan(o CreateOptions, id string) (_ *Plan, err error) {
	defer bug.Caught(&err)
	if o.Console == nil && o.ConsoleSocket == "" {
		o.Console = discardConsole // create will have one
	}
	c, err := r.prepare(context.Background(), id, o)
	if err != nil {
		return nil, err
	}
	c.scope.close()
	return &Plan{c.plan}, nil
}

// PlanRestore plans what Restore would do before CRIU takes over. It changes nothing.
// CRIU need not be installed.
func (r *Runtime) PlanRestore(o RestoreOptions, id string) (_ *Plan, err error) {
	defer bug.Caught(&err)
	rest := &restoration{o: o}
	defer rest.close()
	if rest.criu, err = criu.Find(os.Getenv("PATH")); err != nil {
		rest.criu = "criu"
	}
	if err := rest.openImages(); err != nil {
		return nil, err
	}
	if o.Console == nil && o.ConsoleSocket == "" {
		o.Console = discardConsole // restore will have one
	}
	o.CreateOptions.ExtraFiles, o.CreateOptions.ListenFDs, o.CreateOptions.NotifySocket = nil, 0, ""
	c := &creation{Runtime: r, id: id, o: o.CreateOptions, restore: rest}
	rest.creation = c
	if err := c.ready(context.Background()); err != nil {
		return nil, err
	}
	c.scope.close()
	return &Plan{c.plan}, nil
}

// String returns one line for each step: number, side, action, and the field of config.json
// that asks for it.
func (p *Plan) String() string { return p.steps.String() }

// MarshalJSON returns an array of objects with step, side, field, text and args.
func (p *Plan) MarshalJSON() ([]byte, error) { return p.steps.MarshalJSON() }
