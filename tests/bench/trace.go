package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// callCounts has the counts of one traced verb.
type callCounts struct {
	runtime   int // system calls of the runtime, without those of the Go scheduler and memory
	container int // system calls of the stub, from its own execve to that of the container's program
	trips     int // batches that the stub has received
}

// ofScheduler lists calls whose number depends on the scheduling of threads and on garbage collection. Over 20 runs of `run`
// their minimum and maximum were 240 and 510, and those of all other calls 548 and 557.
var ofScheduler = []string{
	"clone", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "exit", "futex", "getpid", "gettid", "madvise", "mmap",
	"munmap", "nanosleep", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity",
	"sched_yield", "sigaltstack", "tgkill",
}

var callLine = regexp.MustCompile(`^([a-z_0-9]+)\(`)

// readTrace counts the calls in the files of `strace -ff -o dir/…`, one file for each thread.
func readTrace(dir string) (callCounts, error) {
	var total callCounts
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return total, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return total, err
		}
		n := countThread(string(data))
		total.runtime += n.runtime
		total.container += n.container
		total.trips += n.trips
	}
	return total, nil
}

// countThread derives the side of a thread from its execve calls. The first one of the runtime's process executes the
// runtime. The stub is called onggi:ID. A child that the stub clones executes the container's program before anything
// else. The runtime's other threads execute nothing.
func countThread(trace string) callCounts {
	var names []string
	stub, program := -1, -1
	for line := range strings.Lines(trace) {
		match := callLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		if strings.HasPrefix(match[1], "execve") && strings.HasSuffix(strings.TrimSpace(line), "= 0") {
			if strings.Contains(line, `, ["onggi:`) {
				stub = len(names)
			} else {
				program = len(names)
			}
		}
		names = append(names, match[1])
	}
	switch {
	case stub >= 0:
		names = names[stub+1:]
		if program > stub {
			names = names[:program-stub]
		}
		return callCounts{container: len(names), trips: countOf(names, "recvfrom")}
	case program > 0:
		return callCounts{container: program + 1}
	default:
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(ofScheduler, name) })
		return callCounts{runtime: len(names)}
	}
}

func countOf(names []string, name string) int {
	n := 0
	for _, other := range names {
		if other == name {
			n++
		}
	}
	return n
}
