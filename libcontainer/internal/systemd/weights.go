package systemd

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Weights are block I/O weights as properties where the kernel has BFQ. When
// systemd sets any weight, it writes io.bfq.weight too, by a conversion of its
// own, and with that the kernel forgets the weights of devices (set_bfq_weight
// of systemd's cgroup.c, bfq_io_set_weight_legacy of Linux). So it has to have
// them all, and a number of which it makes the right one. sys is /sys.
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

// beforeBFQ is the weight, of 1 to 10000, that systemd turns into w, of 1 to
// 1000. Both are 100 where nothing is said: as it is up to there, and 9900
// steps for 900 above.
func beforeBFQ(w uint16) uint64 {
	const standard, scale = 100, 9900 / 900
	if w <= standard {
		return uint64(w)
	}
	return standard + uint64(w-standard)*scale
}

// blockDevice is the node of a block device, "" if there is no such device.
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
