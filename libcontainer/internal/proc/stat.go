package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Stat has the needed fields of proc_pid_stat(5).
type Stat struct {
	Pid       int
	Comm      string // as the process set it: any bytes, at most 15 (64 for a kernel thread)
	State     byte   // R S D Z T t X I ...
	PPid      int
	StartTime uint64 // clock ticks since boot
	Flags     uint32 // PF_…, linux/sched.h
	Exit      uint32 // as wait(2) gives it, once it is exiting; 0 where we may not know
}

// Exiting tells whether the process ends or has ended.
func (s *Stat) Exiting() bool {
	const exiting = 0x4 // PF_EXITING
	return s.Flags&exiting != 0 || s.State == 'Z' || s.State == 'X'
}

// ReadStat reads /proc/<pid>/stat. The error is ErrGone if there is no such
// process.
func ReadStat(pid int) (Stat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	data, err := readSmall(path)
	if err == unix.ENOENT {
		err = ErrGone
	}
	if err != nil {
		return Stat{}, fmt.Errorf("read %s: %w", path, err)
	}
	st, err := ParseStat(data)
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

// ParseStat parses one line of /proc/<pid>/stat. The name stands between the
// first "(" and the last ")". It may itself contain both, blanks and newlines.
func ParseStat(line []byte) (Stat, error) {
	left, right := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if left < 0 || right < left {
		return Stat{}, fmt.Errorf("no name in parentheses")
	}
	// From the state, field 3, to the start time, field 22.
	const state, ppid, flags, start, exit = 0, 1, 9 - 3, 22 - 3, 52 - 3
	fields := bytes.Fields(line[right+1:])
	if len(fields) <= start || len(fields[state]) != 1 {
		return Stat{}, fmt.Errorf("%d fields after the name; want at least %d", len(fields), start+1)
	}
	st := Stat{Comm: string(line[left+1 : right]), State: fields[state][0]}
	var errs [5]error
	st.Pid, errs[0] = strconv.Atoi(strings.TrimSpace(string(line[:left])))
	st.PPid, errs[1] = strconv.Atoi(string(fields[ppid]))
	st.StartTime, errs[2] = strconv.ParseUint(string(fields[start]), 10, 64)
	st.Flags, errs[3] = number(fields[flags])
	if len(fields) > exit {
		st.Exit, errs[4] = number(fields[exit])
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Stat{}, fmt.Errorf("not a number among its fields")
	}
	return st, nil
}

func number(field []byte) (uint32, error) {
	n, err := strconv.ParseUint(string(field), 10, 32)
	return uint32(n), err
}

// BootID names this boot of the machine. It is read once.
var BootID = sync.OnceValues(readBootID)

func readBootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	data, err := readSmall(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return string(bytes.TrimSpace(data)), nil
}

// readSmall reads a procfs file of less than a page, which arrives in one piece.
// The error is the bare errno.
func readSmall(path string) ([]byte, error) {
	fd, err := openRetry(path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	for err == unix.EINTR {
		n, err = unix.Read(fd, buf)
	}
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

func openRetry(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func isGone(err error) bool { return errors.Is(err, ErrGone) }
