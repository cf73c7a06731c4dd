package cgroup

import (
	"context"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Victim is a process that the OOM killer has killed.
type Victim struct {
	Pid     int    // in the initial pid namespace
	Command string // as the process named itself
}

// Victims finds the victims of one cgroup in the kernel's log. No cgroup file names
// them.
type Victims struct {
	log    int
	cgroup string // absolute, as the kernel prints it
}

// OpenVictims starts to read at the end of the log. It returns an error if the
// runtime may not read the log; then the victims stay unknown.
func (p Paths) OpenVictims() (*Victims, error) {
	const file = "/dev/kmsg"
	fd, err := openat(unix.AT_FDCWD, file, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &FileError{Op: "open", Path: file, Err: err}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		unix.Close(fd)
		return nil, &FileError{Op: "seek", Path: file, Err: err}
	}
	d, _ := p.find("memory")
	return &Victims{fd, path.Join("/", d.Root, d.Path)}, nil
}

// Next waits for the next victim. It returns false when ctx ends first. The kernel
// limits the rate of these records, so some victims of a burst are missing.
func (v *Victims) Next(ctx context.Context) (Victim, bool) {
	var record [8192]byte // the longest record (CONSOLE_EXT_LOG_MAX)
	for {
		n, err := unix.Read(v.log, record[:])
		switch err {
		case nil:
			if victim, cgroup, ok := parseVictim(string(record[:n])); ok && within(cgroup, v.cgroup) {
				return victim, true
			}
		case unix.EAGAIN:
			if poll(ctx, unix.PollFd{Fd: int32(v.log), Events: unix.POLLIN}) != nil {
				return Victim{}, false
			}
		case unix.EPIPE, unix.EINTR: // records were lost; the next read goes on behind them
		default:
			return Victim{}, false
		}
	}
}

// Close ends the search.
func (v *Victims) Close() { unix.Close(v.log) }

// parseVictim parses the record that the kernel prints for each victim:
//
//	4,1234,5678,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=sh,pid=12,uid=0
//
// The names of a cgroup and of a process may contain any of this text, so
// parseVictim takes the pid from the end of the line. A record written by a user
// has a facility, which makes the first number 8 or larger.
func parseVictim(record string) (v Victim, cgroup string, ok bool) {
	line, _, _ := strings.Cut(record, "\n")
	head, line, ok := strings.Cut(line, ";oom-kill:constraint=")
	if !ok || len(head) < 2 || head[1] != ',' {
		return v, "", false
	}
	line, _, ok = cutLast(line, ",uid=")
	if !ok {
		return v, "", false
	}
	line, pid, ok := cutLast(line, ",pid=")
	if !ok {
		return v, "", false
	}
	line, v.Command, ok = cutLast(line, ",task=")
	if !ok {
		return v, "", false
	}
	_, cgroup, ok = strings.Cut(line, ",task_memcg=")
	n, err := strconv.Atoi(pid)
	v.Pid = n
	return v, cgroup, ok && err == nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// within reports whether a cgroup is dir or below it.
func within(cgroup, dir string) bool {
	return cgroup == dir || strings.HasPrefix(cgroup, strings.TrimSuffix(dir, "/")+"/")
}
