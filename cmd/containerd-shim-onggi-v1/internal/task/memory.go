package task

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
)

// memoryFile is a file of the bundle. It tells `delete`, which gets no options and may have
// no server to ask, where the state of the container is.
const memoryFile = "onggi-shim.json"

// Remember writes the options of a task into its bundle.
func Remember(bundle string, o options.Options) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, memoryFile), data, 0o600)
}

// Recall reads the options of a task. It reports false if the bundle has no task of ours.
func Recall(bundle string) (o options.Options, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(bundle, memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	return o, true, json.Unmarshal(data, &o)
}

// Forget removes the options. What is left of them harms nobody: containerd removes the
// bundle.
func Forget(bundle string) { _ = os.Remove(filepath.Join(bundle, memoryFile)) }
