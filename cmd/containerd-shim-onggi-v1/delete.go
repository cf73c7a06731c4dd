package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/rootfs"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/task"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// deleteTime bounds the clean-up. containerd waits five seconds for it.
const deleteTime = 4 * time.Second

// cleanUp removes the remains of a dead server: processes, cgroup, state and mounts.
// containerd also calls it after each ordinary Delete. It then finds nothing.
func cleanUp(f flags, out io.Writer) error {
	if f.id == "" {
		return errors.New("-id is missing")
	}
	bundle := f.bundle
	if bundle == "" {
		var err error
		if bundle, err = os.Getwd(); err != nil {
			return err
		}
	}
	o, ours, err := task.Recall(bundle)
	if err != nil {
		return err
	}
	if ours {
		ctx, stop := context.WithTimeout(context.Background(), deleteTime)
		defer stop()
		runtime, err := libcontainer.New(libcontainer.Options{Root: task.StateRoot(o, f.namespace), Warn: func(string) {}})
		if err != nil {
			return err
		}
		if err := runtime.Delete(ctx, f.id, true); err != nil {
			return err
		}
		if err := rootfs.Unmount(filepath.Join(bundle, "rootfs")); err != nil {
			return err
		}
		task.Forget(bundle)
	}
	const killed = 128 + 9
	return write(out, &wire.DeleteResponse{ExitStatus: killed, ExitedAt: wire.At(time.Now())})
}
