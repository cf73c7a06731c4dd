package cgroup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// blockIOField returns the first field of b that sets a limit, or "".
func blockIOField(b *specs.LinuxBlockIO) string {
	switch {
	case weighted(b.Weight):
		return "/blockIO/weight"
	case weighted(b.LeafWeight):
		return "/blockIO/leafWeight"
	case len(b.WeightDevice) > 0:
		return "/blockIO/weightDevice"
	}
	for _, t := range throttles(b) {
		if len(t.devices) > 0 {
			return t.field
		}
	}
	return ""
}

// weighted reports whether a weight is set. Engines send 0 for "not set".
func weighted(w *uint16) bool { return w != nil && *w != 0 }

// throttle is one of the four lists of rate limits.
type throttle struct {
	field   string
	v1      string // file name
	v2      string // key in io.max
	devices []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{"/blockIO/throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"/blockIO/throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"/blockIO/throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"/blockIO/throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

// blockIO plans linux.resources.blockIO.
func (l *limits) blockIO(b *specs.LinuxBlockIO, v view) {
	if v.v2 {
		l.weightsV2(b, v)
	} else {
		l.weightsV1(b, v)
	}
	for _, t := range throttles(b) {
		for i, d := range t.devices {
			l.throttle(t, i, d, v.v2)
		}
	}
}

// throttle plans one rate limit. A rate of 0 removes the limit: the kernel spells
// this "0" on v1 and "max" on v2.
func (l *limits) throttle(t throttle, i int, d specs.LinuxThrottleDevice, v2 bool) {
	w := write{field: fmt.Sprintf("%s%s/%d", resources, t.field, i)}
	dev := device(d.LinuxBlockIODevice)
	if v2 {
		rate := "max"
		if d.Rate > 0 {
			rate = strconv.FormatUint(d.Rate, 10)
		}
		w.file, w.value = "io.max", fmt.Sprintf("%s %s=%s", dev, t.v2, rate)
		w.undo = undoLine(dev, ioMaxReset(dev))
	} else {
		w.file, w.value = t.v1, fmt.Sprintf("%s %d", dev, d.Rate)
		w.undo = undoLine(dev, dev+" 0")
	}
	l.add(w)
}

func ioMaxReset(dev string) string { return dev + " rbps=max wbps=max riops=max wiops=max" }

func device(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// weightsV1 plans weights for the I/O scheduler that supports them: CFQ until
// Linux 5.0 (blkio.weight), BFQ since then (blkio.bfq.weight).
func (l *limits) weightsV1(b *specs.LinuxBlockIO, v view) {
	prefix := "blkio.bfq."
	if v.has("blkio.weight") {
		prefix = "blkio."
	}
	if weighted(b.Weight) {
		l.add(write{field: resources + "/blockIO/weight", file: prefix + "weight", value: weight(*b.Weight)})
	}
	if weighted(b.LeafWeight) {
		l.leafWeight(v, "/blockIO/leafWeight", write{file: "blkio.leaf_weight", value: weight(*b.LeafWeight)})
	}
	for i, d := range b.WeightDevice {
		dev, field := device(d.LinuxBlockIODevice), fmt.Sprintf("/blockIO/weightDevice/%d", i)
		if weighted(d.Weight) {
			l.add(write{field: resources + field + "/weight", file: prefix + "weight_device", value: dev + " " + weight(*d.Weight), undo: undoLine(dev, dev+" default")})
		}
		if weighted(d.LeafWeight) {
			l.leafWeight(v, field+"/leafWeight", write{file: "blkio.leaf_weight_device", value: dev + " " + weight(*d.LeafWeight), undo: undoLine(dev, dev+" 0")})
		}
	}
}

func (l *limits) leafWeight(v view, field string, w write) {
	if !v.has(w.file) {
		l.refuse(field, "this kernel has no CFQ I/O scheduler, the only one with leaf weights")
		return
	}
	w.field = resources + field
	l.add(w)
}

func weight(w uint16) string { return strconv.Itoa(int(w)) }

// weightsV2 plans weights for BFQ if the cgroup has io.bfq.weight. Otherwise it
// plans them for the io.cost controller, whose range differs (see IOWeight).
func (l *limits) weightsV2(b *specs.LinuxBlockIO, v view) {
	file, convert := "io.weight", ioWeight
	if v.has("io.bfq.weight") {
		file, convert = "io.bfq.weight", weight
	}
	if weighted(b.Weight) {
		l.add(write{field: resources + "/blockIO/weight", file: file, value: convert(*b.Weight), undo: undoLine("default", "default 100")})
	}
	const noLeaf = "cgroup v2 has no leaf weights"
	if weighted(b.LeafWeight) {
		l.refuse("/blockIO/leafWeight", noLeaf)
	}
	for i, d := range b.WeightDevice {
		dev, field := device(d.LinuxBlockIODevice), fmt.Sprintf("/blockIO/weightDevice/%d", i)
		if weighted(d.Weight) {
			l.add(write{field: resources + field + "/weight", file: file, value: dev + " " + convert(*d.Weight), undo: undoLine(dev, dev+" default")})
		}
		if weighted(d.LeafWeight) {
			l.refuse(field+"/leafWeight", noLeaf)
		}
	}
}

// BFQ reports whether the cgroup takes its weights for BFQ. The cgroup must exist;
// on v1 the answer is false.
func (p Paths) BFQ() bool {
	return p.V1 == nil && p.Unified != nil && unix.Access(p.Unified.Abs()+"/io.bfq.weight", unix.F_OK) == nil
}

// IOWeight converts a v1 weight (10 to 1000) to io.weight (1 to 10000), linearly.
func IOWeight(w uint16) uint64 {
	if w < 10 {
		return 1
	}
	return 1 + (uint64(w)-10)*9999/990
}

func ioWeight(w uint16) string { return strconv.FormatUint(IOWeight(w), 10) }
