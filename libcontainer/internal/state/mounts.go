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

// A Mount was made in the container while the container ran. ID is the kernel's id of the
// mount (statx(2), stx_mnt_id). The container may have changed the place to which a
// destination leads, but the id still names the same mount.
type Mount struct {
	Destination string `json:"destination"`
	ID          uint64 `json:"id"`
}

// Mounts returns the list of SaveMounts, in the order of mounting.
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

// SaveMounts replaces the list by the result of change. It takes the lock unless the caller
// holds it.
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
