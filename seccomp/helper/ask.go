package helper

import (
	"context"
	"errors"
	"fmt"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// Package wire draws the layout of requests and replies.
type (
	// A Request is built in the order of its parts. Its kind comes first.
	Request = wire.Request
	// A Reply is the result of a request.
	Reply = wire.Reply
	// Status is the stage at which a request stopped.
	Status = wire.Status
)

// Kinds of requests.
const (
	Filter  = wire.Filter
	Pattern = wire.Pattern
)

// Stages at which a request can stop.
const (
	Done            = wire.Done
	BadDefault      = wire.BadDefault
	BadArchitecture = wire.BadArchitecture
	BadRule         = wire.BadRule
	BadFilter       = wire.BadFilter
	BadPattern      = wire.BadPattern
)

// Ask sends a request and returns its reply. If the helper is a process of its
// own, ctx can interrupt it, and it has a deadline.
func Ask(ctx context.Context, request Request) (Reply, error) {
	if len(request) > wire.MaxRequest {
		return Reply{}, fmt.Errorf("helper: a request of %d bytes is longer than %d", len(request), wire.MaxRequest)
	}
	b, err := run(ctx, request)
	if err != nil {
		return Reply{}, err
	}
	reply, err := wire.Parse(b)
	if err != nil {
		return Reply{}, fmt.Errorf("helper: reply: %w", err)
	}
	if reply.Status == wire.BadRequest {
		return Reply{}, errors.New("helper: it cannot read the request")
	}
	return reply, nil
}
