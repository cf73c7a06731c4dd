package rootfs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attachLoop attaches a file to a free loop device (loop(4)). The kernel frees the device
// when its last user closes it.
func attachLoop(path string, readOnly bool) (*os.File, error) {
	mode := os.O_RDWR
	flags := uint32(unix.LO_FLAGS_AUTOCLEAR)
	if readOnly {
		mode, flags = os.O_RDONLY, flags|unix.LO_FLAGS_READ_ONLY
	}
	image, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	// Another program may take the free device first: try the next one.
	for try := 0; ; try++ {
		device, err := attachFree(control, image, mode, flags)
		if err != unix.EBUSY || try == 100 {
			return device, err
		}
	}
}

func attachFree(control, image *os.File, mode int, flags uint32) (*os.File, error) {
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, os.NewSyscallError("ioctl(LOOP_CTL_GET_FREE)", err)
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), mode, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: flags}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image.Name())
	if err := unix.IoctlLoopConfigure(int(device.Fd()), &config); err != nil {
		device.Close()
		if err == unix.EBUSY {
			return nil, unix.EBUSY
		}
		return nil, fmt.Errorf("ioctl(%s, LOOP_CONFIGURE): %w", device.Name(), err)
	}
	return device, nil
}
