package proc

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ExitStatus returns the exit status of the process of pidfd to a caller that is
// not its parent: the argument of exit, or 128+n after signal n. It returns false
// if the process has not ended, or was reaped on a kernel before 6.15, which
// forgets the status then.
func ExitStatus(pid int, pidfd *os.File) (int, bool) {
	var w unix.WaitStatus
	known := false
	err := with(pidfd, func(fd int) error {
		if w, known = zombieStatus(pid, fd); !known {
			w, known = reapedStatus(fd)
		}
		return nil
	})
	return numberOf(w), known && err == nil
}

// reapedStatus asks the kernel for the status of a reaped process (PIDFD_GET_INFO,
// Linux 6.15).
func reapedStatus(pidfd int) (unix.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return unix.WaitStatus(info.Exit_code), true
}

// zombieStatus reads the status that waits for the parent.
func zombieStatus(pid, pidfd int) (unix.WaitStatus, bool) {
	line, err := readSmall("/proc/" + strconv.Itoa(pid) + "/stat")
	// The file belongs to this process if its pid has not been free since.
	if err != nil || unix.PidfdSendSignal(pidfd, 0, nil, 0) == unix.ESRCH {
		return 0, false
	}
	code, ok := parseExitCode(line)
	return unix.WaitStatus(code), ok
}

// parseExitCode reads field 52 of a zombie's /proc/<pid>/stat.
func parseExitCode(line []byte) (int32, bool) {
	const state, code = 0, 52 - 3 // fields after the name
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	if len(fields) <= code || string(fields[state]) != "Z" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[code]), 10, 32)
	return int32(n), err == nil
}

// numberOf returns the status as a shell has it.
func numberOf(w unix.WaitStatus) int {
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}
