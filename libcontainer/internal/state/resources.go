package state

import (
	"context"

	"golang.org/x/sys/unix"
)

// resourcesFile exists once an update has changed the limits of config.json. It is not a part
// of the record, because only the next update has to read it.
const (
	resourcesFile    = "resources.json"
	newResourcesFile = "resources.json.new"
)

// Resources returns the data of SaveResources, or nil if that was never called.
func (d *Dir) Resources() ([]byte, error) {
	data, err := readFile(d.fd, resourcesFile)
	if err == unix.ENOENT {
		return nil, nil
	}
	return data, d.failUnlessNil("read", resourcesFile, err)
}

// SaveResources stores data for Resources if apply succeeds. It writes the data before it
// calls apply, so that a full disk is found before anything changes. It takes the lock unless
// the caller holds it.
func (d *Dir) SaveResources(ctx context.Context, data []byte, apply func() error) error {
	return d.locked(ctx, func() error {
		if err := writeFile(d.fd, newResourcesFile, unix.O_TRUNC, data); err != nil {
			return d.fail("write", newResourcesFile, err)
		}
		if err := apply(); err != nil {
			_ = unix.Unlinkat(d.fd, newResourcesFile, 0) // if it stays, the next update overwrites it
			return err
		}
		return d.failUnlessNil("rename", newResourcesFile, unix.Renameat(d.fd, newResourcesFile, d.fd, resourcesFile))
	})
}
