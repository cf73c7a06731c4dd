package criu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// ErrNone means that $PATH has no CRIU.
var ErrNone = errors.New("criu is not in $PATH: checkpoint and restore need CRIU 4.2 or later")

// Find returns the path of CRIU in a search path like $PATH.
func Find(path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // never run a program from the working directory as root
		}
		file := filepath.Join(dir, "criu")
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", ErrNone
}

// socketNumber is the descriptor of the socket in CRIU's process.
const socketNumber = 3

// Arguments returns CRIU's command line. socket is the number of its descriptor.
func Arguments(socket int) []string { return []string{"criu", "swrk", strconv.Itoa(socket)} }

// Process is a running CRIU.
type Process struct {
	Pid   int
	Pidfd *os.File
	// Child is set if this program has to reap the process.
	Child bool
	ended bool // reaped: another process may have the pid now
}

// Spawn starts CRIU in a mount namespace of its own, so that no mount of CRIU
// propagates to the host. Its standard output and error go to log. CRIU also inherits
// the descriptors in held. The caller closes all files.
func Spawn(path string, socket, log *os.File, held ...*os.File) (*Process, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), log.Fd(), log.Fd(), socket.Fd()}
	for _, f := range held {
		files = append(files, f.Fd())
	}
	pidfd := -1
	pid, err := syscall.ForkExec(path, Arguments(socketNumber), &syscall.ProcAttr{
		Dir: "/", Env: environment(os.Environ()), Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true, Unshareflags: unix.CLONE_NEWNS, PidFD: &pidfd},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return &Process{Pid: pid, Pidfd: os.NewFile(uintptr(pidfd), "pidfd:"+strconv.Itoa(pid)), Child: true}, nil
}

// environment drops the variables that would change CRIU's behaviour.
func environment(env []string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "CRIU_") {
			out = append(out, kv)
		}
	}
	return out
}

// End kills CRIU and the programs that it started, and reaps it.
func (p *Process) End() {
	if p.ended {
		return
	}
	p.ended = true
	_ = unix.Kill(-p.Pid, unix.SIGKILL)
	_ = proc.Signal(p.Pidfd, unix.SIGKILL)
	p.reap()
}

// reap waits for a process that has ended or is about to end.
func (p *Process) reap() (status unix.WaitStatus) {
	for p.Child {
		_, err := unix.Wait4(p.Pid, &status, 0, nil)
		if err != unix.EINTR {
			p.Child = false
		}
	}
	return status
}

// Close ends the process as End does, and closes the pidfd.
func (p *Process) Close() {
	p.End()
	p.Pidfd.Close()
}
