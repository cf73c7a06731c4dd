// Package watch waits for many descriptors with one goroutine and without a thread of its
// own: an epoll instance is itself a descriptor, and Go's poller waits for it.
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
	removed func() // may be nil
}

// New returns an empty set and starts its goroutine.
func New() (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // Go's poller needs non-blocking files
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl(O_NONBLOCK)", err)
	}
	s := &Set{epoll: os.NewFile(uintptr(fd), "epoll"), watch: map[uint64]*entry{}}
	go s.run()
	return s, nil
}

// Add watches a descriptor. It calls ready each time that one of the poll(2) events occurs,
// until ready returns false. ready must consume the event and must not block. Then Add
// removes the descriptor and calls removed, which may be nil, in a goroutine of its own.
//
// The descriptor has to stay open until removed is called or stop has returned. Otherwise
// the removal could hit another file with the same number.
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

// take removes a descriptor from the set. It returns nil if the descriptor is not in it.
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

// run dispatches the events until the set is closed.
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

// Close ends the goroutine. Calls of ready that are in progress complete.
func (s *Set) Close() { s.epoll.Close() }
