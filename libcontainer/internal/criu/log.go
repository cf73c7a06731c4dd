package criu

import (
	"io"
	"os"
	"strings"
)

// Cause finds the cause of a failure in CRIU's log. It returns one line, with the
// process and the descriptor if the log names them, or "".
func Cause(log *os.File) string {
	const most = 4 << 20 // the cause is near the end
	st, err := log.Stat()
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(io.NewSectionReader(log, max(0, st.Size()-most), most))
	if err != nil {
		return ""
	}
	return cause(string(data))
}

// cause reads the log from its start. It prefers an error that the table of patterns
// explains. Otherwise it returns the first error that is not noise: the later errors
// follow from the first one.
func cause(log string) string {
	var at place
	first, known := "", ""
	for line := range strings.Lines(log) {
		at.read(line)
		text, isError := errorText(line)
		if !isError || noise(line) {
			continue
		}
		if first == "" {
			first = at.before(printableText(text))
		}
		if why := explain(text); why != "" && known == "" {
			known = at.before(why)
		}
	}
	if known != "" {
		return known
	}
	return first
}

// errorText returns the text of a line like
// "(00.012345) Error (criu/tty.c:1234): tty: Unpaired slave 1".
func errorText(line string) (string, bool) {
	_, rest, ok := strings.Cut(line, "Error (")
	if !ok {
		return "", false
	}
	_, text, ok := strings.Cut(rest, "): ")
	return strings.TrimSpace(text), ok
}

// noise reports whether an error line also appears in successful runs.
func noise(line string) bool {
	for _, text := range []string{"Can't setup RLIMIT_NOFILE", "Dumping FAILED", "Restoring FAILED", "Pre-dumping FAILED", "Can't make pidfd_store_sk", "Unable to load cpuinfo"} {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// place is the process and the descriptor that the log currently describes.
type place struct{ pid, comm, fd string }

// read updates the place from the lines "Dumping task (pid: 7 comm: nginx)",
// "Dumping opened files (pid: 7)" and "7 fdinfo 3: pos: ...".
func (p *place) read(line string) {
	if _, rest, ok := strings.Cut(line, "Dumping task (pid: "); ok {
		pid, rest, _ := strings.Cut(rest, " comm: ")
		*p = place{pid: pid, comm: strings.TrimSuffix(strings.TrimSpace(rest), ")")}
		return
	}
	if before, rest, ok := strings.Cut(line, " fdinfo "); ok {
		fields := strings.Fields(before)
		fd, _, _ := strings.Cut(rest, ":")
		if len(fields) > 0 && fields[len(fields)-1] == p.pid {
			p.fd = fd
		}
		return
	}
	if strings.Contains(line, "------------------------") {
		p.fd = ""
	}
}

func (p *place) before(text string) string {
	switch {
	case p.pid == "":
		return text
	case p.fd == "":
		return "process " + p.pid + " (" + printableText(p.comm) + "): " + text
	}
	return "process " + p.pid + " (" + printableText(p.comm) + "): descriptor " + p.fd + ": " + text
}

// printableText replaces control characters. A process's name could otherwise control
// the terminal of the user.
func printableText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// patterns explain errors of CRIU 4.2. A pattern matches if all its words appear.
var patterns = []struct {
	words []string
	why   string
}{
	{[]string{"io_uring"}, "io_uring cannot be dumped"},
	{[]string{"anon_inode:[io_uring]"}, "io_uring cannot be dumped"},
	{[]string{"anon_inode:bpf-map"}, "a BPF map of this kind cannot be dumped"},
	{[]string{"anon_inode:bpf-prog"}, "a BPF program cannot be dumped"},
	{[]string{"anon_inode:[perf_event]"}, "a perf event cannot be dumped"},
	{[]string{"anon_inode:[userfaultfd]"}, "a userfaultfd cannot be dumped"},
	{[]string{"anon_inode:seccomp notify"}, "a seccomp listener cannot be dumped"},
	{[]string{"secretmem"}, "secret memory (memfd_secret) cannot be dumped"},
	{[]string{"Connected TCP socket"}, "an established TCP connection: --tcp-established is needed"},
	{[]string{"In-flight connection"}, "a TCP connection that is being established: --tcp-skip-in-flight is needed"},
	{[]string{"Some file locks are hold"}, "a file lock: --file-locks is needed"},
	{[]string{"consider using --file-locks"}, "a file lock: --file-locks is needed"},
	{[]string{"external socket is used"}, "a Unix socket whose other end is outside of the container: --ext-unix-sk is needed"},
	{[]string{"--ext-unix-sk"}, "a Unix socket whose other end is outside of the container: --ext-unix-sk is needed"},
	{[]string{"--link-remap"}, "a file that was removed and has another name: --link-remap is needed"},
	{[]string{"ghost file", "limit"}, "a removed file is larger than the limit: --ghost-limit is needed"},
	{[]string{"Can't dump ghost file"}, "a removed file is larger than the limit: --ghost-limit is needed"},
	{[]string{"--shell-job"}, "a session or terminal of the caller: --shell-job is needed"},
	{[]string{"tty", "Found dangling tty"}, "a terminal of the host: --shell-job is needed"},
	{[]string{"Unsupported socket family"}, "a socket of a family that CRIU cannot dump"},
	{[]string{"Unsupported proto"}, "a socket of a protocol that CRIU cannot dump (MPTCP: GODEBUG=multipathtcp=0 in Go programs)"},
	{[]string{"nested pid namespaces"}, "a nested pid namespace cannot be dumped"},
	{[]string{"Can't dump nested"}, "a nested namespace of this kind cannot be dumped"},
	{[]string{"isn't dumpable"}, "a device file that CRIU cannot dump"},
	{[]string{"Unable to seize", "already traced"}, "another program traces the process"},
	{[]string{"message queue"}, "a message queue that is not empty cannot be dumped"},
	{[]string{"Can't get rlimit"}, "the limits of a process of another user cannot be read: CRIU needs CAP_SYS_RESOURCE"},
	{[]string{"doesn't have a proper root mount"}, "a mount whose source CRIU cannot find"},
	{[]string{"unreachable sharing"}, "a mount with peers or masters outside of the container"},
	{[]string{"No space left on device"}, "no space left on device"},
	{[]string{"Address already in use"}, "a port is in use: address already in use"},
	{[]string{"Pid ", "do not match expected"}, "a pid of the container is in use here"},
	{[]string{"Can't attach to init: pid"}, "a pid of the container is in use here"},
	{[]string{"has bad size"}, "a file has another size than at the dump"},
	{[]string{"has bad mode"}, "a file has another mode than at the dump"},
	{[]string{"Can't open file", "No such file"}, "a file of the container is missing"},
	{[]string{"CPU capabilities do not match"}, "the processor lacks features that the program may use"},
	{[]string{"iptables-restore"}, "the network cannot be locked: iptables-restore is missing; use --network-lock nftables or skip"},
	{[]string{"Head magic doesn't match"}, "an image is damaged or was not written by CRIU"},
	{[]string{"has wrong magic"}, "an image is damaged or was not written by CRIU"},
}

// explain returns the table's text for an error of CRIU, followed by CRIU's own text.
func explain(text string) string {
	for _, p := range patterns {
		all := true
		for _, w := range p.words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return p.why + " (criu: " + printableText(text) + ")"
		}
	}
	return ""
}
