package cgroup

import (
	"context"
	"errors"
)

// Stats reads everything that is to be told about the cgroup.
func (p Paths) Stats() (*Stats, error) { return nil, errors.ErrUnsupported }

// Stats is runc's `events --stats` data.
type Stats struct{}

// Event is a change of the memory controller's counters.
type Event struct {
	OOM       uint64 // times the limit was reached and reclaim did not help
	OOMKill   uint64 // processes killed
	GroupKill uint64 // times the whole cgroup was killed (memory.oom.group)
}

// WatchOOM reports OOM events until ctx ends or the cgroup is gone.
func (p Paths) WatchOOM(ctx context.Context) (<-chan Event, error) { return nil, errors.ErrUnsupported }
