package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/seccomp/helper"
)

// selectIDs returns the id arg or, with --regex, the ids that match arg. The expression is a
// POSIX expression, as in crun: package regexp would cost 0.07 ms of each start.
func selectIDs(ctx context.Context, r *libcontainer.Runtime, arg string, regex bool) ([]string, error) {
	if !regex {
		return []string{arg}, nil
	}
	states, unread := r.List()
	all := make([]string, len(states))
	for i, s := range states {
		all[i] = s.ID
	}
	ids, err := helper.Match(ctx, arg, all)
	if err != nil {
		return nil, fmt.Errorf("flag --regex: %w", err)
	}
	return ids, unread
}

// forEach calls do for every id, even if some calls fail.
func forEach(ids []string, do func(id string) error) error {
	if len(ids) == 1 {
		return do(ids[0])
	}
	var all []error
	for _, id := range ids {
		if err := do(id); err != nil {
			all = append(all, fmt.Errorf("container %s: %w", id, err))
		}
	}
	return errors.Join(all...)
}
