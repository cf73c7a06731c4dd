package state

import (
	"context"

	"golang.org/x/sys/unix"
)

// resourcesFile is there once the limits of config.json have been updated. It
// is not a part of the record: nothing but the next update has to read it.
const (
	resourcesFile    = "resources.json"
	newResourcesFile = "resources.json.new"
)

// Resources gives what SaveResources has kept; nil if that was never called.
func (d *Dir) Resources() ([]byte, error) {
	data, err := readFile(d.fd, resourcesFile)
	if err == unix.ENOENT {
		return nil, nil
	}
	return data, d.failUnlessNil("read", resourcesFile, err)
}

// SaveResources replaces what Resources gives, if apply succeeds. The data is
// written before, so that a full disk is found out before anything changes. It
// takes the lock unless it is held.
func (d *Dir) SaveResources(ctx context.Context, data []byte, apply func() error) error {
	return d.locked(ctx, func() error {
		if err := writeFile(d.fd, newResourcesFile, unix.O_TRUNC, data); err != nil {
			return d.fail("write", newResourcesFile, err)
		}
		if err := apply(); err != nil {
			_ = unix.Unlinkat(d.fd, newResourcesFile, 0) // the next one writes over it
			return err
		}
		return d.failUnlessNil("rename", newResourcesFile, unix.Renameat(d.fd, newResourcesFile, d.fd, resourcesFile))
	})
}
