package main

import (
	"encoding/json"
	"io"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// runtimeName is the name by which containerd knows the shim.
const runtimeName = "io.containerd.onggi.v1"

// inputMax bounds what is read from standard input, in bytes.
const inputMax = 4 << 20

// printInfo answers -info. CRI reads the features: it offers user namespaces and recursive
// read-only mounts by them.
func printInfo(in io.Reader, out io.Writer) error {
	if _, err := io.Copy(io.Discard, io.LimitReader(in, inputMax)); err != nil { // options, which change nothing here
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
