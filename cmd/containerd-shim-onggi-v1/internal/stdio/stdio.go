// Package stdio connects the standard streams of a process with the FIFOs, files and logging
// programs that containerd names.
//
// The process gets a FIFO itself, so the shim does not copy its bytes. The shim copies in
// three cases: for a terminal, for file://, and for a FIFO that a security module may refuse
// to the process.
package stdio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config names the streams of one process in containerd's form: an empty string (/dev/null),
// the path of a FIFO, or a URI (fifo://PATH, file://PATH, binary://PROGRAM).
type Config struct {
	Stdin    string
	Stdout   string
	Stderr   string
	Terminal bool
	Copy     bool // put a pipe between the process and a FIFO
	UID, GID int  // owner of the streams; 0 and 0 do not change it

	ID, Namespace string // for logging programs
}

// Streams are the open streams of one process.
type Streams struct {
	// Stdin, Stdout and Stderr are the files for the process; nil means /dev/null. A
	// process with a terminal has none of them.
	Stdin, Stdout, Stderr *os.File

	config Config
	held   []*os.File // read ends of output FIFOs: see openOutput
	logger *logger
	copies sync.WaitGroup
	ended  chan struct{} // closed when all copies end; nil before Drain

	mu       sync.Mutex
	input    *os.File // write end of the stdin FIFO: see openInput
	master   *os.File
	from, to *os.File // the terminal's stdin FIFO and stdout FIFO
}

// Open opens the streams. It waits until the client has opened its ends of the FIFOs, or ctx
// ends. After an error no stream is open.
func Open(ctx context.Context, config Config) (*Streams, error) {
	s := &Streams{config: config}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Streams) open(ctx context.Context) error {
	in, err := parse(s.config.Stdin)
	if err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	out, err := parse(s.config.Stdout)
	if err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	errOut, err := parse(s.config.Stderr)
	if err != nil {
		return fmt.Errorf("stderr: %w", err)
	}
	if in.scheme != "" && in.scheme != "fifo" {
		return fmt.Errorf("stdin: %q is not a FIFO", s.config.Stdin)
	}
	if out.scheme == "binary" {
		return s.openLogger(ctx, out)
	}
	if s.config.Terminal {
		return s.openTerminal(ctx, in, out)
	}
	if s.Stdout, err = s.output(ctx, out); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	if errOut == out {
		s.Stderr = s.Stdout
	} else if s.Stderr, err = s.output(ctx, errOut); err != nil {
		return fmt.Errorf("stderr: %w", err)
	}
	if s.Stdin, err = s.openInput(in); err != nil {
		return fmt.Errorf("stdin: %w", err)
	}
	return errors.Join(block(s.Stdin), block(s.Stdout), block(s.Stderr))
}

// target is the parsed name of a stream.
type target struct {
	scheme string // "" for none, "fifo", "file", "binary"
	path   string
	query  string
}

func parse(name string) (target, error) {
	if name == "" {
		return target{}, nil
	}
	if strings.IndexByte(name, 0) >= 0 {
		return target{}, fmt.Errorf("%q has a NUL character", name)
	}
	scheme, _, isURI := strings.Cut(name, "://")
	if !isURI {
		return absolute(target{scheme: "fifo", path: name}, name)
	}
	u, err := url.Parse(name)
	if err != nil {
		return target{}, err
	}
	switch scheme {
	case "fifo", "file":
		return absolute(target{scheme: scheme, path: u.Path}, name)
	case "binary":
		return absolute(target{scheme: scheme, path: u.Path, query: u.RawQuery}, name)
	}
	return target{}, fmt.Errorf("%q: the scheme %q is not known; known are fifo, file and binary", name, scheme)
}

func absolute(t target, name string) (target, error) {
	if !filepath.IsAbs(t.path) {
		return t, fmt.Errorf("%q has no absolute path", name)
	}
	return t, nil
}

// output returns the file for an output of the process.
func (s *Streams) output(ctx context.Context, t target) (*os.File, error) {
	switch t.scheme {
	case "":
		return nil, nil
	case "file":
		return s.relayToLog(t.path)
	}
	w, err := s.openOutput(ctx, t.path)
	if err != nil {
		return nil, err
	}
	if err := s.own(w); err != nil {
		w.Close()
		return nil, err
	}
	if s.config.Copy {
		return s.relay(w)
	}
	return w, nil
}

// own makes the user of the process the owner of a stream.
func (s *Streams) own(f *os.File) error {
	if s.config.UID == 0 && s.config.GID == 0 {
		return nil
	}
	return f.Chown(s.config.UID, s.config.GID)
}

// relayToLog returns a pipe and appends its bytes to a file. The process must not get the
// file itself: it could truncate or read the log.
func (s *Streams) relayToLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	return s.relay(log)
}

// relay returns the write end of a pipe and copies the bytes to a file. It closes the file at
// the end.
func (s *Streams) relay(to *os.File) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		to.Close()
		return nil, err
	}
	if err := s.own(w); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close(), to.Close())
	}
	s.copy(to, r, func() { r.Close(); to.Close() })
	return w, nil
}

// copySize is the buffer size of one copy, in bytes.
const copySize = 32 << 10

// copy starts a goroutine that copies until the end of the input or an error.
func (s *Streams) copy(to, from *os.File, done func()) {
	s.copies.Add(1)
	go func() {
		defer s.copies.Done()
		defer done()
		buffer := make([]byte, copySize)
		for {
			n, err := from.Read(buffer) // a terminal ends with EIO
			if n > 0 {
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
}

// Passed closes the shim's copies of the files after the process has inherited them.
// Otherwise an output would not end with its last writer.
func (s *Streams) Passed() {
	closeAll(s.Stdin, s.Stdout, s.Stderr)
	s.Stdin, s.Stdout, s.Stderr = nil, nil, nil
}

// CloseStdin ends the input of the process. Without an input it does nothing.
func (s *Streams) CloseStdin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeAll(s.input)
	s.input = nil
}

// Drain waits until the output of an ended process has been copied, at most for the given
// time. The limit matters if a child of the process still holds the streams.
func (s *Streams) Drain(most time.Duration) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = make(chan struct{})
		go func() {
			s.copies.Wait()
			close(s.ended)
		}()
	}
	ended := s.ended
	s.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(most):
	}
}

// Close closes all files and ends all copies.
func (s *Streams) Close() {
	s.Passed()
	s.CloseStdin()
	s.mu.Lock()
	closeAll(s.held...)
	closeAll(s.master, s.from, s.to)
	s.held, s.from, s.to = nil, nil, nil
	s.mu.Unlock()
	if s.logger != nil {
		s.logger.end()
	}
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
