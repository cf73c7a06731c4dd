package systemd

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Weights returns block I/O weights as properties if the kernel has BFQ. When systemd
// sets any weight, it also writes io.bfq.weight, with a conversion of its own, and
// then the kernel forgets the weights of devices (set_bfq_weight in systemd's
// cgroup.c, bfq_io_set_weight_legacy in Linux). So systemd has to get all weights, as
// numbers that its conversion turns into the right ones. sys is the path of /sys.
func Weights(b *specs.LinuxBlockIO, sys string) []Property {
	var p properties
	if b == nil {
		return nil
	}
	if b.Weight != nil && *b.Weight != 0 {
		p.add("IOWeight", "t", beforeBFQ(*b.Weight))
	}
	list := []any{}
	for _, d := range b.WeightDevice {
		name := blockDevice(sys, d.Major, d.Minor)
		if d.Weight != nil && *d.Weight != 0 && name != "" {
			list = append(list, []any{name, beforeBFQ(*d.Weight)})
		}
	}
	if len(list) > 0 {
		p.add("IODeviceWeight", "a(st)", list)
	}
	return p
}

// beforeBFQ returns the weight, 1 to 10000, that systemd converts to w, 1 to 1000.
// Both are 100 by default. Up to 100 the scales are equal; above, 9900 steps map to
// 900.
func beforeBFQ(w uint16) uint64 {
	const standard, scale = 100, 9900 / 900
	if w <= standard {
		return uint64(w)
	}
	return standard + uint64(w-standard)*scale
}

// blockDevice returns the name of a block device, "" if there is no such device.
func blockDevice(sys string, major, minor int64) string {
	f, err := os.Open(fmt.Sprintf("%s/dev/block/%d:%d/uevent", sys, major, minor))
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "DEVNAME="); ok {
			return "/dev/" + name
		}
	}
	return ""
}
