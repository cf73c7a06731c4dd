// Package options reads the options that containerd passes to a runtime: as a message or as
// a section of config.toml.
package options

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// DefaultRoot is the default directory of the state roots. Each namespace has one.
const DefaultRoot = "/run/containerd/onggi"

// Options are the options of a task. The zero value is valid.
type Options struct {
	Root          string // directory of the state roots; "" is DefaultRoot
	NoPivot       bool
	NoNewKeyring  bool
	SystemdCgroup bool
	ShimCgroup    string // cgroup of the server's process
	CRIUWorkPath  string // directory of CRIU's logs; "" is the bundle
	UID, GID      int    // owner of the standard streams
}

// Parse reads the options of a task or of a start. nil means no options.
//
// containerd sends options of runc's type only to the runtime io.containerd.runc.v2, and in
// a few calls of CRI. Other runtimes get the text of their section of config.toml.
func Parse(packed *wire.Any) (Options, error) {
	if packed == nil || packed.TypeUrl == "" && len(packed.Value) == 0 {
		return Options{}, nil
	}
	switch packed.TypeUrl {
	case wire.TypeRuncOptions:
		var r wire.RuncOptions
		if err := r.UnmarshalVT(packed.Value); err != nil {
			return Options{}, fmt.Errorf("options: %w", err)
		}
		return ofRunc(&r)
	case wire.TypeCreateOptions:
		var r wire.CreateOptions
		if err := r.UnmarshalVT(packed.Value); err != nil {
			return Options{}, fmt.Errorf("options: %w", err)
		}
		return Options{
			NoPivot: r.NoPivotRoot, NoNewKeyring: r.NoNewKeyring, ShimCgroup: r.ShimCgroup, UID: int(r.IoUid), GID: int(r.IoGid),
		}, nil
	case wire.TypeRuntimeOptions:
		var r wire.RuntimeOptions
		if err := r.UnmarshalVT(packed.Value); err != nil {
			return Options{}, fmt.Errorf("options: %w", err)
		}
		return ofText(&r)
	}
	return Options{}, fmt.Errorf("options of type %q are not known", packed.TypeUrl)
}

func ofRunc(r *wire.RuncOptions) (Options, error) {
	o := Options{
		Root: r.Root, NoPivot: r.NoPivotRoot, NoNewKeyring: r.NoNewKeyring, SystemdCgroup: r.SystemdCgroup,
		ShimCgroup: r.ShimCgroup, CRIUWorkPath: r.CriuWorkPath, UID: int(r.IoUid), GID: int(r.IoGid),
	}
	return o, checkBinary(r.BinaryName)
}

// checkBinary refuses the name of another runtime: the shim would run the containers with
// onggi without saying so.
func checkBinary(name string) error {
	switch filepath.Base(name) {
	case ".", "runc", "onggi":
		return nil
	}
	return fmt.Errorf("options: this shim runs containers itself, not with binary_name %q", name)
}

// textMax bounds an options file, in bytes.
const textMax = 1 << 20

func ofText(r *wire.RuntimeOptions) (Options, error) {
	text := string(r.ConfigBody)
	if text == "" && r.ConfigPath != "" {
		info, err := os.Stat(r.ConfigPath)
		if err == nil && (!info.Mode().IsRegular() || info.Size() > textMax) {
			err = fmt.Errorf("%s is not a small file", r.ConfigPath)
		}
		if err != nil {
			return Options{}, fmt.Errorf("options: %w", err)
		}
		data, err := os.ReadFile(r.ConfigPath)
		if err != nil {
			return Options{}, fmt.Errorf("options: %w", err)
		}
		text = string(data)
	}
	return parseText(text)
}

// parseText reads the section: lines of the form key = value, in TOML. Keys have the
// spelling of containerd's configuration (SystemdCgroup) or underscores.
func parseText(text string) (Options, error) {
	var r wire.RuncOptions
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return Options{}, fmt.Errorf("options: line %d is not of the form key = value: %q", n+1, line)
		}
		if err := set(&r, key, strings.TrimSpace(value)); err != nil {
			return Options{}, fmt.Errorf("options: line %d: %w", n+1, err)
		}
	}
	return ofRunc(&r)
}

func set(r *wire.RuncOptions, key, value string) error {
	name := strings.ToLower(strings.ReplaceAll(strings.Trim(strings.TrimSpace(key), `"'`), "_", ""))
	flags := map[string]*bool{"nopivotroot": &r.NoPivotRoot, "nonewkeyring": &r.NoNewKeyring, "systemdcgroup": &r.SystemdCgroup}
	texts := map[string]*string{"shimcgroup": &r.ShimCgroup, "binaryname": &r.BinaryName, "root": &r.Root, "criuimagepath": &r.CriuImagePath, "criuworkpath": &r.CriuWorkPath}
	if to := flags[name]; to != nil {
		switch value {
		case "true", "false":
			*to = value == "true"
			return nil
		}
		return fmt.Errorf("%s is true or false, not %s", strings.TrimSpace(key), value)
	}
	if to := texts[name]; to != nil {
		if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
			return fmt.Errorf("%s is a text in quotes, not %s", strings.TrimSpace(key), value)
		}
		*to = value[1 : len(value)-1]
		return nil
	}
	return nil // ignore unknown keys: containerd's sections have keys for other runtimes
}
