package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// tracing is the trace of one invocation, and the file to which it is written at the end, after a
// failure too.
type tracing struct {
	file     *os.File
	recorder *timeline.Recorder // nil without a trace
}

// openTrace creates the file before the command does anything. Only the user can read it: it
// contains paths, arguments and values of config.json.
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

// processTime returns the CPU time of this process. At the start of a process this is nearly all the
// time that has passed; /proc tells the time of the start only in steps of 10 ms.
func processTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// write writes the trace. If that fails, there is only a warning: the command has done its work.
func (t tracing) write(log *logger) {
	if t.file == nil {
		return
	}
	_, err := t.recorder.WriteTo(t.file)
	if err = errors.Join(err, t.file.Close()); err != nil {
		log.warn("the trace is not complete: " + oneLine(err))
	}
}

// failure returns err, or nil if err is only the exit status of the container's program.
func failure(err error) error {
	var status exitStatus
	if errors.As(err, &status) {
		return nil
	}
	return err
}
