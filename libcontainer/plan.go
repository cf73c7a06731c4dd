package libcontainer

import (
	"context"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// Plan is what Create would do, step by step.
type Plan struct{ steps *plan.Plan }

// Plan says what Create would do, without privileges and without touching
// anything.
func (r *Runtime) Plan(o CreateOptions, id string) (_ *Plan, err error) {
	defer bug.Caught(&err)
	if o.Console == nil && o.ConsoleSocket == "" {
		o.Console = discardConsole // there will be one
	}
	c, err := r.prepare(context.Background(), id, o)
	if err != nil {
		return nil, err
	}
	c.scope.close()
	return &Plan{c.plan}, nil
}

// String is one line a step: number, side, what is done, and the field of
// config.json that asks for it.
func (p *Plan) String() string { return p.steps.String() }

// MarshalJSON is an array of objects with step, side, field, text and args.
func (p *Plan) MarshalJSON() ([]byte, error) { return p.steps.MarshalJSON() }
