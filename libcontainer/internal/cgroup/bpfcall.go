package cgroup

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hook is an attachment point of a cgroup2 cgroup, together with the name of our
// program there.
type hook struct {
	// name distinguishes our program from programs of others on the same cgroup,
	// such as systemd's. At most 15 bytes.
	name    string
	program uint32 // BPF_PROG_TYPE_*
	place   uint32 // BPF_CGROUP_*
	bound   bool   // the kernel verifies the program for this place only
}

// loadAttr is the first part of union bpf_attr for BPF_PROG_LOAD.
type loadAttr struct {
	kind        uint32
	count       uint32
	code        uint64
	license     uint64
	logLevel    uint32
	logSize     uint32
	log         uint64
	kernVersion uint32
	flags       uint32
	name        [16]byte
	device      uint32
	place       uint32
}

// load passes a program to the kernel for verification and returns its descriptor.
// The caller closes it.
func (h hook) load(prog []instruction) (int, error) {
	code := encode(prog)
	license := []byte("Apache-2.0\x00")
	attr := loadAttr{
		kind:    h.program,
		count:   uint32(len(prog)),
		code:    uint64(uintptr(unsafe.Pointer(&code[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	if h.bound {
		attr.place = h.place
	}
	copy(attr.name[:], h.name)
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(code)
	runtime.KeepAlive(license)
	return fd, err
}

// attachAttr is union bpf_attr for BPF_PROG_ATTACH.
type attachAttr struct {
	target  uint32
	prog    uint32
	kind    uint32
	flags   uint32
	replace uint32
	_       uint32
}

// replace attaches a program. If our old program is attached (old is not -1), the
// kernel replaces it in one step.
func (h hook) replace(dir, old, prog int) error {
	attr := attachAttr{target: uint32(dir), prog: uint32(prog), kind: h.place, flags: unix.BPF_F_ALLOW_MULTI}
	if old >= 0 {
		attr.flags |= unix.BPF_F_REPLACE
		attr.replace = uint32(old)
	}
	_, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// detach removes our program from the cgroup.
func (h hook) detach(dir, prog int) error {
	attr := attachAttr{target: uint32(dir), prog: uint32(prog), kind: h.place}
	_, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// maxPrograms is the kernel's limit of programs on one cgroup
// (BPF_CGROUP_MAX_PROGS).
const maxPrograms = 64

// attached returns a descriptor of our program on the cgroup, or -1 if there is
// none.
func (h hook) attached(dir int) (int, error) {
	ids, err := h.query(dir)
	if err != nil {
		return -1, err
	}
	for _, id := range ids {
		fd, err := openProgram(id)
		if err == unix.ENOENT {
			continue // detached after the query
		}
		if err != nil {
			return -1, err
		}
		if name, err := nameOf(fd); err == nil && name == h.name {
			return fd, nil
		}
		unix.Close(fd)
	}
	return -1, nil
}

// query lists the ids of the programs attached to the cgroup itself at this place.
func (h hook) query(dir int) ([]uint32, error) {
	var ids [maxPrograms]uint32
	attr := struct {
		target, kind, queryFlags, attachFlags uint32
		ids                                   uint64
		count                                 uint32
		_                                     uint32
	}{target: uint32(dir), kind: h.place, ids: uint64(uintptr(unsafe.Pointer(&ids))), count: maxPrograms}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&ids)
	if err != nil {
		return nil, err
	}
	return ids[:min(attr.count, maxPrograms)], nil
}

func openProgram(id uint32) (int, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	return bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// nameOf returns the name of a program.
func nameOf(fd int) (string, error) {
	// struct bpf_prog_info up to the name, which starts at byte 64.
	var info [80]byte
	attr := struct {
		fd, length uint32
		info       uint64
	}{uint32(fd), uint32(len(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&info)
	if err != nil {
		return "", err
	}
	return unix.ByteSliceToString(info[64:]), nil
}

// bpf calls bpf(2). It repeats the call after EINTR and EAGAIN. BPF_PROG_LOAD returns
// EAGAIN if a signal arrives during verification.
func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for range bpfTries {
		r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EAGAIN, unix.EINTR:
		default:
			return -1, errno
		}
	}
	return -1, fmt.Errorf("interrupted %d times: %w", bpfTries, unix.EAGAIN)
}

// bpfTries bounds the repetitions. A process that gets a signal during each of so many
// calls could not do other work either.
const bpfTries = 32
