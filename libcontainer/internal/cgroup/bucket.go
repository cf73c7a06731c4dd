package cgroup

import (
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Words of a bucket, which is the only value of a bandwidth program's map. The
// program writes the first five words, the runtime writes the last two. The runtime
// also changes the time when the rate changes (see rescale):
//
//	0        8       16        24        32       40     48
//	+--------+-------+---------+---------+--------+------+-------+
//	|  time  | bytes | packets | dropped | marked | rate | burst |
//	+--------+-------+---------+---------+--------+------+-------+
const (
	bucketTime    = 0 // CLOCK_MONOTONIC ns at which the packets so far have left
	bucketBytes   = 8
	bucketPackets = 16
	bucketDropped = 24
	bucketMarked  = 32
	bucketRate    = 40 // bits a second, as compiled into the program
	bucketBurst   = 48 // bytes
	bucketSize    = 56
)

// newBucket creates the map of a bandwidth program. The runtime can map it into
// memory and change its words while the program runs.
func newBucket(name string) (int, error) {
	attr := struct {
		kind, key, value, entries, flags, inner, node uint32
		name                                          [16]byte
	}{kind: unix.BPF_MAP_TYPE_ARRAY, key: 4, value: bucketSize, entries: 1, flags: unix.BPF_F_MMAPABLE}
	copy(attr.name[:], name)
	return bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// bucketOf opens the bucket of a program. The program has no other map.
func bucketOf(prog int) (int, error) {
	var id uint32
	// struct bpf_prog_info up to the map ids: the count at byte 52, a pointer at 56.
	info := struct {
		_    [52]byte
		maps uint32
		ids  uint64
	}{maps: 1, ids: uint64(uintptr(unsafe.Pointer(&id)))}
	attr := struct {
		fd, length uint32
		info       uint64
	}{uint32(prog), uint32(unsafe.Sizeof(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&id)
	runtime.KeepAlive(&info)
	if err != nil {
		return -1, err
	}
	find := struct{ id, next, flags uint32 }{id: id}
	return bpf(unix.BPF_MAP_GET_FD_BY_ID, unsafe.Pointer(&find), unsafe.Sizeof(find))
}

// bucket is a bucket mapped into memory.
type bucket []byte

func mapBucket(fd int) (bucket, error) {
	data, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return bucket(data), os.NewSyscallError("mmap", err)
}

func (b bucket) unmap() { _ = unix.Munmap(b) }

func (b bucket) word(offset int) *uint64 { return (*uint64)(unsafe.Pointer(&b[offset])) }

func (b bucket) load(offset int) uint64 { return atomic.LoadUint64(b.word(offset)) }

func (b bucket) limit() Bandwidth {
	return Bandwidth{Rate: b.load(bucketRate), Burst: b.load(bucketBurst)}
}

func (b bucket) setLimit(l Bandwidth) {
	atomic.StoreUint64(b.word(bucketRate), l.Rate)
	atomic.StoreUint64(b.word(bucketBurst), l.Burst)
}

// rescale converts the bucket's lag to a new rate, so that the same number of bytes
// is still due: at 100 times the rate they take a hundredth of the time.
func (b bucket) rescale(from, to uint64) error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	now := uint64(t.Nano())
	for {
		old := b.load(bucketTime)
		if old <= now {
			return nil
		}
		lag := float64(old-now) * float64(from) / float64(to)
		if atomic.CompareAndSwapUint64(b.word(bucketTime), old, now+uint64(lag)) {
			return nil
		}
	}
}

func (b bucket) stats() BandwidthStats {
	l := b.limit()
	return BandwidthStats{
		Rate: l.Rate, Burst: l.Burst, Bytes: b.load(bucketBytes), Packets: b.load(bucketPackets),
		Dropped: b.load(bucketDropped), Marked: b.load(bucketMarked),
	}
}
