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
// makes it, and is abandoned when the answer does not come.
//
// The opener holds no descriptors but its socket: whoever waits for the end of our
// output does not wait for an abandoned opener.

// openerControl is the number of an opener's socket. The numbers of standard
// streams stay closed.
const openerControl = 3

func startOpener(ctx context.Context, timeout time.Duration, name string) (*remote.Stub, error) {
	return remote.Start(ctx, remote.Spawn{Control: openerControl, Timeout: timeout, Argv0: name})
}

// endOpener waits for the end of an opener that answers, and for no other one.
func endOpener(stub *remote.Stub, err error) {
	if answered(err) {
		stub.Kill()
	} else {
		stub.Abandon()
	}
}

// OpenPath opens a path with O_PATH and flags, in time. The error is a
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

// Access is access(2), in time. It checks the effective ids.
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

// opening is a call of the opener's that opens a file.
type opening struct {
	item int
	open remote.Result
	fs   *remote.Statfs // nil if nobody has to know
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

// notOpened names the source that the opener was busy with: done came before it.
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

// needOpener starts the walk's opener where there is none.
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

// dismissOpener is for an opener that has answered.
func (w *walk) dismissOpener() {
	if w.opener == nil {
		return
	}
	w.opener.Dismiss()
	w.dismissed = append(w.dismissed, w.opener)
	w.opener = nil
}

// abandonOpener is for the end of a walk, whose last call may still be under way.
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

// addSource opens the source of an item, and asks the file system for more only
// where that has to be known.
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

// asOurs replaces the links to the reader's own files in procfs: the reader is the
// opener, and the path means this process.
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

// takeTree makes a tree of a source that has been opened.
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

// findSlowly has the opener find the files of trees below root.
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

// findSome fills one batch, and tries it again as often as a rename somewhere gets
// in its way.
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
		w.opener.Abandon() // it may hold dir
		w.opener = nil
		if err := w.needOpener(); err != nil {
			return nil, err
		}
	}
	return list, err
}

// addPlace opens the file of a tree below dir. A magic link of procfs leads out of
// it: ELOOP or EXDEV.
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
