// Package wire has the messages between containerd and a shim. wire.proto and metrics.proto
// describe them; `go generate` translates both with protoc and protoc-gen-go-lite. The
// generated code needs neither reflection nor a registry. Unused messages therefore cost
// nothing at the start of the shim.
package wire

//go:generate protoc --go-lite_out=. --go-lite_opt=paths=source_relative,features=marshal+unmarshal+size wire.proto metrics.proto

import (
	"fmt"
	"time"
)

// Message is a generated message.
type Message interface {
	MarshalVT() ([]byte, error)
	UnmarshalVT([]byte) error
}

// Type URLs of the values in an Any. A message has the full name of containerd's type. JSON
// of the runtime specification has a path.
const (
	TypeProcess   = "types.containerd.io/opencontainers/runtime-spec/1/Process"
	TypeResources = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
	TypeFeatures  = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

	TypeRuncOptions       = "containerd.runc.v1.Options"
	TypeCreateOptions     = "containerd.linux.runc.CreateOptions"
	TypeRuntimeOptions    = "runtimeoptions.v1.Options"
	TypeCheckpointOptions = "containerd.runc.v1.CheckpointOptions"
	TypeProcessDetails    = "containerd.runc.v1.ProcessDetails"

	TypeMetrics1 = "io.containerd.cgroups.v1.Metrics"
	TypeMetrics2 = "io.containerd.cgroups.v2.Metrics"
)

// Pack returns a message with its type URL.
func Pack(typeURL string, m Message) (*Any, error) {
	value, err := m.MarshalVT()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typeURL, err)
	}
	return &Any{TypeUrl: typeURL, Value: value}, nil
}

// At returns t as a message. The zero time stays the year 1, which containerd understands as
// "not yet". A missing timestamp would mean the year 1970.
func At(t time.Time) *Timestamp {
	return &Timestamp{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}
