package cgroup

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdma plans linux.resources.rdma. The file is the same on v1 and v2.
func (l *limits) rdma(rs map[string]specs.LinuxRdma) {
	for _, dev := range slices.Sorted(maps.Keys(rs)) {
		value := dev
		if n := rs[dev].HcaHandles; n != nil {
			value += fmt.Sprintf(" hca_handle=%d", *n)
		}
		if n := rs[dev].HcaObjects; n != nil {
			value += fmt.Sprintf(" hca_object=%d", *n)
		}
		if value == dev {
			continue
		}
		l.add(write{
			field: resources + "/rdma/" + pointerToken(dev),
			file:  "rdma.max",
			value: value,
			undo:  undoLine(dev, dev+" hca_handle=max hca_object=max"),
		})
	}
}

// pointerToken returns s as one reference token of a JSON pointer (RFC 6901).
func pointerToken(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
