package main

import (
	"encoding/json"
	"io"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// runtimeName is containerd's name for this runtime.
const runtimeName = "io.containerd.onggi.v1"

// inputMax bounds the standard input, in bytes.
const inputMax = 4 << 20

// printInfo answers -info. containerd's CRI plugin reads the features. It offers user
// namespaces and recursive read-only mounts only if the features name them.
func printInfo(in io.Reader, out io.Writer) error {
	if _, err := io.Copy(io.Discard, io.LimitReader(in, inputMax)); err != nil { // options: they do not change the answer
		return err
	}
	features, err := json.Marshal(libcontainer.Features())
	if err != nil {
		return err
	}
	return write(out, &wire.RuntimeInfo{
		Name:     runtimeName,
		Version:  &wire.RuntimeVersion{Version: versionName(), Revision: commit},
		Features: &wire.Any{TypeUrl: wire.TypeFeatures, Value: features},
	})
}

func write(out io.Writer, m wire.Message) error {
	data, err := m.MarshalVT()
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}
