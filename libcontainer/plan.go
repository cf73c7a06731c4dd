package libcontainer

import (
	"context"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// Plan is the list of steps that Create would execute.
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

// String returns one line for each step: number, side, action, and the field of config.json
// that asks for it.
func (p *Plan) String() string { return p.steps.String() }

// MarshalJSON returns an array of objects with step, side, field, text and args.
func (p *Plan) MarshalJSON() ([]byte, error) { return p.steps.MarshalJSON() }
