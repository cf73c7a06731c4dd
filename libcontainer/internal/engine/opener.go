package engine

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// opener is a stub in the host's namespaces. It opens files whose file system
// may never answer. A thread that waits for such an answer takes no signal, not
// even SIGKILL (request_wait_answer in fs/fuse/dev.c), and a process ends only
// with all its threads. So no thread of this process makes the call. The opener
// makes it, and the walk abandons the opener if no answer comes.
//
// The opener holds no descriptor except its socket. A caller that reads the
// runtime's output to its end does not wait for an abandoned opener.
type opener struct {
	*stubs
	process *remote.Stub // nil if no source had to be waited for
}

// openerControl is the number of an opener's socket. Its standard streams are
// closed.
const openerControl = 3

func startOpener(ctx context.Context, timeout time.Duration, name string) (*remote.Stub, error) {
	return remote.Start(ctx, remote.Spawn{Control: openerControl, Timeout: timeout, Argv0: name})
}

// endOpener ends an opener. It waits for the end only if the opener answers.
func endOpener(stub *remote.Stub, err error) {
	if answered(err) {
		stub.Kill()
	} else {
		stub.Abandon()
	}
}

// OpenPath opens a path with O_PATH and flags, within the timeout. The error is a
// *remote.CallError, remote.ErrTimeout or the cause of the end of ctx.
func OpenPath(ctx context.Context, path string, flags uint64, timeout time.Duration) (f *os.File, err error) {
	stub, err := startOpener(ctx, timeout, "onggi:open")
	if err != nil {
		return nil, err
	}
	defer func() { endOpener(stub, err) }()
	var b remote.Batch
	b.SendFile(stub.Control(), b.Open(path, unix.O_PATH|flags))
	err = stub.Do(&b)
	if files := b.Files(); len(files) > 0 {
		f = files[0]
	}
	if err != nil && f != nil {
		f.Close()
		return nil, err
	}
	return f, err
}

// Access is access(2) within the timeout. It checks the effective ids.
func Access(ctx context.Context, path string, mode uint32, timeout time.Duration) (err error) {
	stub, err := startOpener(ctx, timeout, "onggi:access")
	if err != nil {
		return err
	}
	defer func() { endOpener(stub, err) }()
	var b remote.Batch
	b.Faccess(remote.Cwd(), path, mode)
	err = stub.Do(&b)
	if ce := (*remote.CallError)(nil); errors.As(err, &ce) {
		return ce.Errno
	}
	return err
}

// opening is a call of the opener that opens a file.
type opening struct {
	item int
	open remote.Result
	fs   *remote.Statfs // nil if the walk does not need it
	fd   int            // -1 if the call failed with an errno that it tolerates
}

// open has the walk's opener open files. The caller owns the descriptors.
func (op *opener) open(q *remote.Batch, list []opening, send []int) error {
	if err := op.process.Send(q); err != nil {
		return err
	}
	err := op.process.SendFiles(q, send)
	if err == nil {
		err = op.process.Receive(q)
	}
	files := q.Files()
	defer closeReceived(files)
	if err != nil {
		return op.notOpened(list, len(files), err)
	}
	for n := range list {
		list[n].fd = -1
		if list[n].open.Errno() != 0 {
			continue
		}
		if list[n].fd, err = unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			closeOpened(list[:n])
			return os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
		}
		files = files[1:]
	}
	return nil
}

// notOpened names the source that the opener was opening. The opener had opened
// done sources before it.
func (op *opener) notOpened(list []opening, done int, err error) error {
	ce := (*remote.CallError)(nil)
	switch {
	case errors.As(err, &ce):
		it := op.items[ce.Tag]
		source, _, _ := hostSource(it.Step)
		return failed(it, &Failure{Step: "failed to fulfil mount request: open " + source, Syscall: ce.Call, Errno: ce.Errno})
	case errors.Is(err, remote.ErrTimeout) && done < len(list):
		it := op.items[list[done].item]
		source, _, _ := hostSource(it.Step)
		return failed(it, &Failure{Step: "failed to fulfil mount request: open " + source, Err: err, Hint: "its file system does not answer"})
	}
	return err
}

func closeReceived(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func closeOpened(list []opening) {
	for _, o := range list {
		if o.fd >= 0 {
			unix.Close(o.fd)
		}
	}
}

// need starts the walk's opener if there is none.
func (op *opener) need() error {
	if op.process != nil {
		return nil
	}
	stub, err := startOpener(op.until, op.timeout(), op.job.Name)
	if err != nil {
		return err
	}
	op.process = stub
	return nil
}

// dismiss ends an opener that has answered.
func (op *opener) dismiss() {
	if op.process == nil {
		return
	}
	op.process.Dismiss()
	op.dismissed = append(op.dismissed, op.process)
	op.process = nil
}

// abandon gives up the opener at the end of a walk: its last call may never
// return.
func (op *opener) abandon() {
	if op.process != nil {
		op.process.Abandon()
		op.process = nil
	}
}

// asOurs replaces links to the files of the calling process in procfs. The caller is
// the opener, but the path means this process.
func asOurs(path string) string {
	self := "/proc/" + strconv.Itoa(os.Getpid())
	for _, link := range [...]struct{ from, to string }{
		{"/proc/self", self},
		{"/proc/thread-self", self},
		{"/dev/fd", self + "/fd"},
		{"/dev/stdin", self + "/fd/0"},
		{"/dev/stdout", self + "/fd/1"},
		{"/dev/stderr", self + "/fd/2"},
	} {
		if rest, ok := strings.CutPrefix(path, link.from); ok && (rest == "" || rest[0] == '/') {
			return link.to + rest
		}
	}
	return path
}
