package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxFile bounds the input: some hundred thousand events.
const maxFile = 64 << 20

// maxTime bounds the length of a trace, in microseconds: a year. Its
// nanoseconds are exact in an int64.
const maxTime = 365 * 24 * 3600 * 1e6

// foreignLine is an event of a file that another program may have written.
type foreignLine struct {
	Phase    string         `json:"ph"`
	Name     string         `json:"name"`
	Category Category       `json:"cat"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Begin    float64        `json:"ts"`
	Length   float64        `json:"dur"`
	Args     map[string]any `json:"args"`
}

// Read reads a file of Chrome's trace event format, in its object form or its
// array form. It keeps complete events and names, and drops all other records.
func Read(r io.Reader) (*Trace, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("the trace is larger than %d MiB", maxFile>>20)
	}
	lines, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("not a trace: %w", err)
	}
	t := &Trace{}
	for i := range lines {
		if err := t.take(&lines[i]); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	if len(t.Events) == 0 {
		return nil, errors.New("the trace has no events")
	}
	return t, nil
}

func decode(text []byte) ([]foreignLine, error) {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '[' {
		var lines []foreignLine
		return lines, json.Unmarshal(text, &lines)
	}
	var file struct {
		Events []foreignLine `json:"traceEvents"`
	}
	err := json.Unmarshal(text, &file)
	return file.Events, err
}

func (t *Trace) take(l *foreignLine) error {
	switch {
	case l.Phase == "X":
		if !(math.Abs(l.Begin) <= maxTime) || !(l.Length >= 0 && l.Length <= maxTime) {
			return fmt.Errorf("ts %v, dur %v: out of range", l.Begin, l.Length)
		}
		t.Events = append(t.Events, Event{
			Name: l.Name, Category: l.Category, Process: l.Process, Thread: l.Thread,
			Begin: nanoseconds(l.Begin), Length: nanoseconds(l.Length), Args: l.args(),
		})
	case l.Phase == "M" && l.Name == "process_name":
		t.Names = append(t.Names, Name{l.Process, 0, l.args()["name"]})
	case l.Phase == "M" && l.Name == "thread_name":
		t.Names = append(t.Names, Name{l.Process, l.Thread, l.args()["name"]})
	}
	return nil
}

func nanoseconds(us float64) int64 { return int64(math.Round(us * 1e3)) }

// args returns the arguments as text, nil without arguments.
func (l *foreignLine) args() map[string]string {
	if len(l.Args) == 0 {
		return nil
	}
	out := make(map[string]string, len(l.Args))
	for k, v := range l.Args {
		s, ok := v.(string)
		if !ok {
			s = fmt.Sprint(v)
		}
		out[k] = s
	}
	return out
}
