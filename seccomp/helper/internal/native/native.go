//go:build cgo

package native

// #cgo CFLAGS: -Wall -Wextra
// #cgo pkg-config: libseccomp
// #include <seccomp.h>
// #include <stdlib.h>
// #include "helper.h"
import "C"

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Answer makes the reply to a request. It cannot be interrupted.
func Answer(request []byte) ([]byte, error) {
	var size C.size_t
	reply := C.helper_answer(unsafe.Pointer(unsafe.SliceData(request)), C.size_t(len(request)), &size)
	if reply == nil {
		return nil, unix.ENOMEM
	}
	defer C.free(unsafe.Pointer(reply))
	return C.GoBytes(unsafe.Pointer(reply), C.int(size)), nil
}

// Libseccomp is the version of the library that is linked in, "2.5.4".
func Libseccomp() string {
	v := C.seccomp_version()
	return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.micro)
}
