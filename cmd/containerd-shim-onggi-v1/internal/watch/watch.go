// Package watch waits for any number of descriptors with one goroutine and no thread: an
// epoll instance is itself a descriptor that Go's poller can wait for.
package watch

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Set is a set of watched descriptors.
type Set struct {
	epoll *os.File
	mu    sync.Mutex
	next  uint64
	watch map[uint64]*entry
}

type entry struct {
	fd      int
	ready   func() bool
	removed func() // nil for none
}

// New returns an empty set, and starts its goroutine.
func New() (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // Go's poller takes such files only
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl(O_NONBLOCK)", err)
	}
	s := &Set{epoll: os.NewFile(uintptr(fd), "epoll"), watch: map[uint64]*entry{}}
	go s.run()
	return s, nil
}

// Add calls ready each time that the descriptor has one of the poll(2) events, until ready
// returns false. ready must take what there is, and must not wait. Then removed, which may
// be nil, is called in a goroutine of its own.
//
// The descriptor has to stay open until removed is called or stop has returned. Otherwise
// the removal could hit another file that has got the number.
func (s *Set) Add(poll unix.PollFd, ready func() bool, removed func()) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	key := s.next
	s.watch[key] = &entry{int(poll.Fd), ready, removed}
	// The events of poll(2) and epoll(7) have the same values.
	e := unix.EpollEvent{Events: uint32(poll.Events), Fd: int32(key), Pad: int32(key >> 32)}
	if err := s.control(unix.EPOLL_CTL_ADD, int(poll.Fd), &e); err != nil {
		delete(s.watch, key)
		return nil, err
	}
	return func() { s.take(key) }, nil
}

func (s *Set) control(op, fd int, e *unix.EpollEvent) error {
	conn, err := s.epoll.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(epoll uintptr) { failed = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), op, fd, e)) })
	return errors.Join(err, failed)
}

// take removes a descriptor from the set. It returns nil if that was done before.
func (s *Set) take(key uint64) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.watch[key]
	if e != nil {
		delete(s.watch, key)
		_ = s.control(unix.EPOLL_CTL_DEL, e.fd, nil)
	}
	return e
}

func (s *Set) find(key uint64) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watch[key]
}

// run waits until the set is closed.
func (s *Set) run() {
	conn, err := s.epoll.SyscallConn()
	if err != nil {
		return
	}
	var events [16]unix.EpollEvent
	for {
		n := 0
		err := conn.Read(func(epoll uintptr) bool {
			n, err = unix.EpollWait(int(epoll), events[:], 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			return
		}
		for _, e := range events[:max(n, 0)] {
			key := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
			if w := s.find(key); w != nil && !w.ready() && s.take(key) != nil && w.removed != nil {
				go w.removed()
			}
		}
	}
}

// Close ends the goroutine. No ready function is called after those under way.
func (s *Set) Close() { s.epoll.Close() }
