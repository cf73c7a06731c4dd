package stdio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sort"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// logger is a logging program (binary://). Its descriptors 3 and 4 are the read ends of the
// process's stdout and stderr. It closes descriptor 5 when it is ready.
type logger struct {
	process *os.Process
}

// loggerTime bounds the start of a logging program, and each step of its end.
const loggerTime = 12 * time.Second

func (s *Streams) openLogger(ctx context.Context, t target) error {
	if s.config.Terminal {
		return errors.New("stdout: a logging program cannot have a terminal")
	}
	var pipes [3][2]*os.File
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		pipes[i] = [2]*os.File{r, w}
		switch i { // Streams closes the first two
		case 0:
			s.Stdout = w
		case 1:
			s.Stderr = w
		default:
			defer w.Close()
		}
	}
	args, err := loggerArgs(t)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	process, err := os.StartProcess(t.path, args, &os.ProcAttr{
		Env:   append(os.Environ(), "CONTAINER_ID="+s.config.ID, "CONTAINER_NAMESPACE="+s.config.Namespace),
		Files: []*os.File{null, null, null, pipes[0][0], pipes[1][0], pipes[2][1]},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	s.logger = &logger{process: process}
	pipes[2][1].Close()
	return awaitReady(ctx, t.path, pipes[2][0])
}

// awaitReady waits until the program closes the descriptor, or writes to it.
func awaitReady(ctx context.Context, path string, ready *os.File) error {
	deadline := time.Now().Add(loggerTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = ready.SetReadDeadline(deadline)
	var b [1]byte
	if _, err := ready.Read(b[:]); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("stdout: %s was not ready in time", path)
	}
	return nil
}

// loggerArgs converts the query of the URI to arguments: each key, followed by its values.
func loggerArgs(t target) ([]string, error) {
	values, err := url.ParseQuery(t.query)
	if err != nil {
		return nil, fmt.Errorf("stdout: %w", err)
	}
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	args := []string{t.path}
	for _, k := range keys {
		args = append(args, k)
		for _, v := range values[k] {
			if v != "" {
				args = append(args, v)
			}
		}
	}
	return args, nil
}

// end gives the program time to read the last output and to end. Then it sends SIGTERM, and
// later SIGKILL.
func (l *logger) end() {
	ended := make(chan struct{})
	go func() {
		_, _ = l.process.Wait()
		close(ended)
	}()
	go func() {
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
			select {
			case <-ended:
				return
			case <-time.After(loggerTime):
				_ = l.process.Signal(sig)
			}
		}
	}()
}
