package engine

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// An opener is a stub in the host's namespaces. It opens files whose file system
// may never answer. A thread that waits for such an answer takes no signal, not
// even SIGKILL (request_wait_answer in fs/fuse/dev.c), and a process ends only
// with all its threads. So no thread of this process makes the call. The opener
// makes it, and the walk abandons the opener if no answer comes.
//
// The opener holds no descriptor except its socket. A caller that reads the
// runtime's output to its end does not wait for an abandoned opener.

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
func (w *walk) open(q *remote.Batch, list []opening, send []int) error {
	if err := w.opener.Send(q); err != nil {
		return err
	}
	err := w.opener.SendFiles(q, send)
	if err == nil {
		err = w.opener.Receive(q)
	}
	files := q.Files()
	defer closeReceived(files)
	if err != nil {
		return w.notOpened(list, len(files), err)
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
func (w *walk) notOpened(list []opening, done int, err error) error {
	ce := (*remote.CallError)(nil)
	switch {
	case errors.As(err, &ce):
		it := w.items[ce.Tag]
		source, _, _ := hostSource(it.Step)
		return failed(it, &Failure{Step: "failed to fulfil mount request: open " + source, Syscall: ce.Call, Errno: ce.Errno})
	case errors.Is(err, remote.ErrTimeout) && done < len(list):
		it := w.items[list[done].item]
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

// needOpener starts the walk's opener if there is none.
func (w *walk) needOpener() error {
	if w.opener != nil {
		return nil
	}
	stub, err := startOpener(w.asking(), w.timeout(), w.Name)
	if err != nil {
		return err
	}
	w.opener = stub
	return nil
}

// dismissOpener ends an opener that has answered.
func (w *walk) dismissOpener() {
	if w.opener == nil {
		return
	}
	w.opener.Dismiss()
	w.dismissed = append(w.dismissed, w.opener)
	w.opener = nil
}

// abandonOpener gives up the opener at the end of a walk: its last call may never
// return.
func (w *walk) abandonOpener() {
	if w.opener != nil {
		w.opener.Abandon()
		w.opener = nil
	}
}

// openSlowly has the opener open the sources of items.
func (w *walk) openSlowly(items []int, trees map[int]*tree) error {
	if len(items) == 0 {
		return nil
	}
	if err := w.needOpener(); err != nil {
		return err
	}
	for len(items) > 0 {
		var q remote.Batch
		var list []opening
		for _, i := range items {
			if q.Size() > maxBatch {
				break
			}
			list = append(list, w.addSource(&q, i))
		}
		items = items[len(list):]
		if err := w.open(&q, list, nil); err != nil {
			return err
		}
		for n, o := range list {
			if err := w.takeTree(o, trees); err != nil {
				closeOpened(list[n+1:])
				return err
			}
		}
	}
	return nil
}

// addSource adds the calls that open the source of an item. It adds statfs only if
// the walk needs the result.
func (w *walk) addSource(q *remote.Batch, i int) opening {
	source, recursive, nofollow := hostSource(w.items[i].Step)
	q.Tag(i)
	fd := q.OpenSource(asOurs(source), recursive, nofollow)
	o := opening{item: i, open: q.Last()}
	if b, ok := w.items[i].Step.(plan.Bind); ok && (b.At.Path == "/proc" || w.copiedByUserns() && !lockedAnyway(b)) {
		fs := q.Fstatfs(fd)
		o.fs = &fs
	}
	q.SendFile(w.opener.Control(), fd)
	q.Close(fd)
	return o
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

// takeTree turns an opened source into a tree.
func (w *walk) takeTree(o opening, trees map[int]*tree) error {
	it := w.items[o.item]
	source, _, nofollow := hostSource(it.Step)
	t := &tree{fd: o.fd, name: source, nofollow: nofollow}
	trees[o.item] = t
	if o.fs != nil {
		t.fs = o.fs.Get()
	}
	t.elsewhere = w.copiedByUserns() && mustLock(it.Step, t.fs)
	if err := prepareTree(it, t); err != nil {
		return failed(it, err)
	}
	return nil
}

// findSlowly has the opener open the files of trees below root.
func (w *walk) findSlowly(root int, items []int, found map[int]int) error {
	if len(items) == 0 {
		return nil
	}
	if err := w.needOpener(); err != nil {
		return err
	}
	for len(items) > 0 {
		list, err := w.findSome(root, items)
		if err != nil {
			return err
		}
		for _, o := range list {
			found[o.item] = o.fd
		}
		items = items[len(list):]
	}
	return nil
}

// findSome opens as many files as one batch takes. It repeats the batch after a
// rename somewhere on the host (EAGAIN).
func (w *walk) findSome(root int, items []int) (list []opening, err error) {
	for range maxRetries {
		var q remote.Batch
		list = nil
		dir := q.ReceiveFiles(w.opener.Control(), []string{"the container's mount namespace"})[0]
		for _, i := range items {
			if q.Size() > maxBatch {
				break
			}
			list = append(list, w.addPlace(&q, dir, i))
		}
		q.Close(dir)
		if err = w.open(&q, list, []int{root}); !isErrno(err, unix.EAGAIN) {
			break
		}
		w.opener.Abandon() // it may still hold dir open
		w.opener = nil
		if err := w.needOpener(); err != nil {
			return nil, err
		}
	}
	return list, err
}

// addPlace adds the calls that open the file of a tree below dir. It tolerates ELOOP
// and EXDEV: the path contains a magic link of procfs, which leads out of dir.
func (w *walk) addPlace(q *remote.Batch, dir *remote.FD, i int) opening {
	t := w.trees[i]
	q.Tag(i)
	fd := q.Openat2(dir, relative(t.name), unix.O_PATH|uint64(noFollow(t.nofollow)), 0, unix.RESOLVE_IN_ROOT)
	o := opening{item: i, open: q.Last()}
	o.open.Tolerate(unix.ELOOP, unix.EXDEV)
	q.SendFile(w.opener.Control(), fd)
	q.Close(fd)
	o.open.OnFailSkip()
	return o
}
