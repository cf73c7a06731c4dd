package proc

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ExitStatus is how the process of pidfd ended, for who is not its parent: the
// number it gave to exit, or 128+n when signal n ended it. False if it has not
// ended, or if it was reaped under a kernel that forgets it then (before 6.15).
func ExitStatus(pid int, pidfd *os.File) (int, bool) {
	if code, ok := zombieCode(pid, pidfd); ok {
		return statusOf(code), true
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(int(pidfd.Fd()), &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return statusOf(info.Exit_code), true
}

// zombieCode is what waits for the parent to be taken.
func zombieCode(pid int, pidfd *os.File) (int32, bool) {
	line, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat")
	// The file is of this process if its pid has not been free since.
	if err != nil || unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0) == unix.ESRCH {
		return 0, false
	}
	return parseExitCode(line)
}

// parseExitCode takes field 52 of a zombie's /proc/<pid>/stat.
func parseExitCode(line []byte) (int32, bool) {
	const state, code = 0, 52 - 3 // fields after the name
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= code || string(fields[state]) != "Z" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[code]), 10, 32)
	return int32(n), err == nil
}

// statusOf reads the code that wait(2) gives.
func statusOf(code int32) int {
	w := unix.WaitStatus(code)
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}
