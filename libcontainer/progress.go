package libcontainer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// CheckpointProgress is the progress of a checkpoint.
type CheckpointProgress struct {
	// Phase is "pre-1", "pre-2" and so on for the pre-dumps, then "dump", and "end"
	// in the last event.
	Phase string `json:"phase"`
	// Written is the size of the memory in the images of this phase, in bytes. With a
	// page server it is 0.
	Written int64 `json:"written"`
	// Elapsed is the time since the begin of the checkpoint.
	Elapsed time.Duration `json:"elapsed"` // nanoseconds
}

// phaseEnd is the phase after the checkpoint.
const phaseEnd = "end"

// reportTime is the time between two reports within a phase.
const reportTime = time.Second

// report tells the caller and the readers of events how far CRIU is.
func (d *dump) report() {
	p := CheckpointProgress{Phase: d.phase, Written: d.images.memory(), Elapsed: time.Since(d.began)}
	if line, err := json.Marshal(p); err == nil {
		d.intent.Note(line)
	}
	if d.o.Progress != nil {
		d.o.Progress(p)
	}
}

// memory returns the size of CRIU's files of memory pages.
func (d *imageDir) memory() (sum int64) {
	names, _ := readDir(d.path)
	for _, name := range names {
		var st unix.Stat_t
		if ok, _ := filepath.Match("pages-*.img", name); !ok {
			continue
		}
		if unix.Fstatat(int(d.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			sum += st.Size
		}
	}
	return sum
}

// dumpWatch watches the progress of checkpoints, which other programs may run.
type dumpWatch struct {
	container *Container
	file      *os.File // inotify
	last      CheckpointProgress
}

func (c *Container) watchDump() *dumpWatch {
	file, err := c.dir.WatchDump()
	if err != nil { // fs.inotify.max_user_instances, for example: the other events matter more
		return &dumpWatch{container: c}
	}
	return &dumpWatch{container: c, file: file}
}

func (w *dumpWatch) pollFd() unix.PollFd {
	if w.file == nil {
		return unix.PollFd{Fd: -1}
	}
	return unix.PollFd{Fd: int32(w.file.Fd()), Events: unix.POLLIN}
}

func (w *dumpWatch) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// progress returns the event of a new report, if there is one. It drops all inotify
// events first: only the present contents of the file count.
func (w *dumpWatch) progress() []Event {
	var buf [4096]byte
	for {
		if n, err := unix.Read(int(w.file.Fd()), buf[:]); n <= 0 || err != nil {
			break
		}
	}
	p := CheckpointProgress{}
	switch line, err := w.container.dir.DumpNote(); {
	case errors.Is(err, os.ErrNotExist) && w.last.Phase != "" && w.last.Phase != phaseEnd:
		p, p.Phase = w.last, phaseEnd
	case err != nil || json.Unmarshal(line, &p) != nil || p == w.last:
		return nil
	}
	w.last = p
	return []Event{{Type: EventCheckpoint, Data: &p}}
}
