package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// tracing is the trace of one invocation, and the file that it goes to when
// that ends, however it does.
type tracing struct {
	file     *os.File
	recorder *timeline.Recorder // nil without a trace
}

// openTrace makes the file before anything is done. Nobody else reads it: it
// has paths, arguments and values of config.json.
func openTrace(path, verb string) (t tracing, err error) {
	if path == "" {
		return t, nil
	}
	before, now := processTime(), time.Now()
	if t.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return t, fmt.Errorf("flag --trace: %w", err)
	}
	t.recorder = timeline.New("onggi " + verb)
	t.recorder.Earlier("start of the process, in CPU time", before+time.Since(now), before)
	return t, nil
}

// processTime is what this process has had of processors. Of its start that is
// nearly all the time it took; when it began, /proc says in 10 ms steps only.
func processTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// write ends the trace. A command whose trace is lost has still done its work.
func (t tracing) write(log *logger) {
	if t.file == nil {
		return
	}
	_, err := t.recorder.WriteTo(t.file)
	if err = errors.Join(err, t.file.Close()); err != nil {
		log.warn("the trace is not complete: " + oneLine(err))
	}
}

// failure is err unless it is how the container's program has ended.
func failure(err error) error {
	var status exitStatus
	if errors.As(err, &status) {
		return nil
	}
	return err
}
