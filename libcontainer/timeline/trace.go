package timeline

import (
	"bytes"
	"encoding/json"
	"io"
)

// Trace is a rendered timeline. Chrome's trace event format has it as
//
//	{"displayTimeUnit": "ms", "traceEvents": [
//	  {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": "…"}},
//	  {"ph": "X", "name": "…", "cat": "step", "pid": 1, "tid": 1, "ts": 12.345, "dur": 6.789, "args": {"field": "…"}},
//	  …
//	]}
//
// with one event a line and times in microseconds. Of two nested events of one
// thread the parent comes first.
type Trace struct {
	Names  []Name
	Events []Event
}

// The two processes of a trace.
const (
	RuntimeSide   = 1
	ContainerSide = 2
)

// Name is the name of a process or, if Thread is not 0, of a thread.
type Name struct {
	Process, Thread int
	Name            string
}

// Event is a span on a thread.
type Event struct {
	Name            string
	Category        Category
	Process, Thread int
	Begin, Length   int64             // nanoseconds
	Args            map[string]string // "field", "result", "error", …
}

// line is an event of the file.
type line struct {
	Phase    string            `json:"ph"`
	Name     string            `json:"name"`
	Category Category          `json:"cat,omitempty"`
	Process  int               `json:"pid"`
	Thread   int               `json:"tid"`
	Begin    *float64          `json:"ts,omitempty"`
	Length   *float64          `json:"dur,omitempty"`
	Args     map[string]string `json:"args,omitempty"`
}

func microseconds(ns int64) *float64 {
	us := float64(ns) / 1e3
	return &us
}

func (n Name) line() line {
	what := "process_name"
	if n.Thread != 0 {
		what = "thread_name"
	}
	return line{Phase: "M", Name: what, Process: n.Process, Thread: n.Thread, Args: map[string]string{"name": n.Name}}
}

func (e *Event) line() line {
	return line{
		Phase: "X", Name: e.Name, Category: e.Category, Process: e.Process, Thread: e.Thread,
		Begin: microseconds(e.Begin), Length: microseconds(e.Length), Args: e.Args,
	}
}

// WriteTo writes the recording as a file of Chrome's trace event format.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) { return r.Trace().WriteTo(w) }

// WriteTo writes the trace as a file of Chrome's trace event format.
func (t *Trace) WriteTo(w io.Writer) (int64, error) {
	f := file{w: w}
	f.WriteString(`{"displayTimeUnit":"ms","traceEvents":[`)
	for _, n := range t.Names {
		f.line(n.line())
	}
	for i := range t.Events {
		f.line(t.Events[i].line())
	}
	f.WriteString("\n]}\n")
	f.flush()
	return f.n, f.err
}

// file is a trace being written. The first error ends it.
type file struct {
	bytes.Buffer
	w     io.Writer
	lines int
	n     int64
	err   error
}

func (f *file) line(l line) {
	if f.lines++; f.lines > 1 {
		f.WriteByte(',')
	}
	f.WriteByte('\n')
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false) // keeps <rootfs> readable
	if err := e.Encode(l); err != nil {
		panic("BUG: an event of a trace: " + err.Error()) // strings and finite numbers
	}
	f.Truncate(f.Len() - 1) // the encoder's newline
	if f.Len() > 32<<10 {
		f.flush()
	}
}

func (f *file) flush() {
	if f.err == nil {
		var n int
		n, f.err = f.w.Write(f.Bytes())
		f.n += int64(n)
	}
	f.Reset()
}
