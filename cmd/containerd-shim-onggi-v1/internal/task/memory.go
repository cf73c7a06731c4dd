package task

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
)

// memoryFile is a file in the bundle. It tells the action delete where the state of the
// container is. delete gets no options, and there may be no server to ask.
const memoryFile = "onggi-shim.json"

// Remember writes the options of a task into its bundle.
func Remember(bundle string, o options.Options) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, memoryFile), data, 0o600)
}

// Recall reads the options of a task. ok is false if the bundle has no task of this shim.
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

// Forget removes the options. It ignores errors, because containerd removes the bundle
// anyway.
func Forget(bundle string) { _ = os.Remove(filepath.Join(bundle, memoryFile)) }
