package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stock is the state of the host that a test may not change.
type stock struct {
	mounts   string
	fds      int
	children []int
}

func takeStock() stock {
	return stock{mounts: mountinfo(), fds: countFDs(), children: children()}
}

// compare reports leftovers of a test and removes them, so that the next test is not blamed.
func (s stock) compare(t testing.TB, c *container) {
	t.Helper()
	for _, left := range s.strays() {
		t.Errorf("leak: process %s", left)
	}
	if now := mountinfo(); now != s.mounts {
		t.Errorf("leak: the host's mounts changed:\n%s", diff(s.mounts, now))
	}
	for _, dir := range c.cgroupDirs() {
		t.Errorf("leak: cgroup %s", dir)
		removeCgroup(dir)
	}
	if entries, _ := os.ReadDir(filepath.Join(c.root, c.id)); len(entries) > 0 {
		t.Errorf("leak: state directory of %s: %v", c.id, entries)
	}
}

// strays waits a moment for ending processes, reaps zombies, and kills the rest. A zombie is not a leak: the engine, which
// is the subreaper, reaps a container.
func (s stock) strays() []string { return s.leftAfter(slowly(10 * time.Second)) }

// leftAfter is strays with another time limit.
func (s stock) leftAfter(d time.Duration) []string {
	var left []string
	for deadline := time.Now().Add(d); ; time.Sleep(2 * time.Millisecond) {
		left = left[:0]
		for _, pid := range children() {
			if slices.Contains(s.children, pid) {
				continue
			}
			if state(pid) == 'Z' {
				syscall.Wait4(pid, nil, 0, nil)
				continue
			}
			left = append(left, describe(pid))
			if time.Now().After(deadline) {
				syscall.Kill(pid, syscall.SIGKILL)
				syscall.Wait4(pid, nil, 0, nil)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// strayChildren names the living children of the test process at the end of the run.
func strayChildren() []string { return stock{}.strays() }

func children() []int {
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(data)) {
			pid, _ := strconv.Atoi(word)
			pids = append(pids, pid)
		}
	}
	return pids
}

// state returns the letter of /proc/PID/stat, 0 if there is no such process.
func state(pid int) byte {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name before the letter may contain anything, including parentheses.
	rest := string(data[strings.LastIndexByte(string(data), ')')+1:])
	return strings.TrimSpace(rest)[0]
}

func describe(pid int) string {
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return fmt.Sprintf("%d (%s, state %c): %s", pid, strings.TrimSpace(string(comm)), state(pid),
		strings.ReplaceAll(string(cmdline), "\x00", " "))
}

func mountinfo() string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func countFDs() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
