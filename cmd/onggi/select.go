package main

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/onggi-dev/onggi/libcontainer"
)

// selectIDs is the container that arg names or, with --regex, every one whose
// id it matches.
func selectIDs(r *libcontainer.Runtime, arg string, regex bool) ([]string, error) {
	if !regex {
		return []string{arg}, nil
	}
	pattern, err := regexp.Compile(arg)
	if err != nil {
		return nil, fmt.Errorf("flag --regex: %w", err)
	}
	states, err := r.List()
	var ids []string
	for _, s := range states {
		if pattern.MatchString(s.ID) {
			ids = append(ids, s.ID)
		}
	}
	return ids, err
}

// forEach calls do for every id, whatever happens to the others.
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
