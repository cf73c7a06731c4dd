package state

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	mountsFile    = "mounts.json"
	newMountsFile = "mounts.json.new"
)

// A Mount was made in the container while it ran. The id is the kernel's
// (statx(2), stx_mnt_id): a destination leads wherever the container's names
// lead by now, the id is that of one mount.
type Mount struct {
	Destination string `json:"destination"`
	ID          uint64 `json:"id"`
}

// Mounts gives what SaveMounts has kept, in the order in which it was mounted.
func (d *Dir) Mounts() ([]Mount, error) {
	data, err := readFile(d.fd, mountsFile)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, d.fail("read", mountsFile, err)
	}
	var list []Mount
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: corrupt state: %w", d.file(mountsFile), err)
	}
	return list, nil
}

// SaveMounts replaces the list by what change makes of it. It takes the lock
// unless it is held.
func (d *Dir) SaveMounts(ctx context.Context, change func([]Mount) []Mount) error {
	return d.locked(ctx, func() error {
		list, err := d.Mounts()
		if err != nil {
			return err
		}
		data, err := json.Marshal(change(list))
		if err != nil {
			return err
		}
		if err := writeFile(d.fd, newMountsFile, unix.O_TRUNC, data); err != nil {
			return d.fail("write", newMountsFile, err)
		}
		return d.failUnlessNil("rename", newMountsFile, unix.Renameat(d.fd, newMountsFile, d.fd, mountsFile))
	})
}
