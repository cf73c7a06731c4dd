package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer"
)

// A logger writes what engines and people read. Engines give a file and parse
// runc's records in it: containerd's shim takes the last one of level error,
// Podman wants the whole file to be one JSON object. So a file gets nothing
// but the one error unless a level asks for more.
type logger struct {
	records *logrus.Logger
	file    bool     // records go to a file, so people do not see them
	err     *os.File // standard error
}

func newLogger(stderr *os.File) *logger {
	records := logrus.New()
	records.SetOutput(stderr)
	records.SetLevel(logrus.WarnLevel)
	records.SetFormatter(textFormat{stderr})
	return &logger{records: records, err: stderr}
}

// open applies the global flags: where records go, their form and their level.
func (l *logger) open(path, format, level string) error {
	if path != "" && path != "/dev/stderr" { // runc's default
		f, err := openLog(path)
		if err != nil {
			return err
		}
		l.file = true
		l.records.SetOutput(f)
		l.records.SetLevel(logrus.ErrorLevel)
		l.records.SetFormatter(textFormat{f})
	}
	if format == "json" {
		l.records.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339, DisableHTMLEscape: true})
	}
	if level != "" {
		parsed, err := logrus.ParseLevel(level)
		if err != nil {
			return err
		}
		l.records.SetLevel(parsed)
	}
	return nil
}

// openLog opens a log file. The prefix is crun's way to tell files from its
// other backends.
func openLog(path string) (*os.File, error) {
	for _, backend := range []string{"journald:", "syslog:"} {
		if strings.HasPrefix(path, backend) {
			return nil, fmt.Errorf("flag --log: %s is not supported, only files are", backend)
		}
	}
	f, err := os.OpenFile(strings.TrimPrefix(path, "file:"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

func (l *logger) debug(msg string) { l.records.Debug(msg) }
func (l *logger) warn(msg string)  { l.records.Warn(msg) }

// exit reports err, if it is one, and returns onggi's exit status.
func (l *logger) exit(err error) int {
	var status exitStatus
	var failed *execFailure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &failed):
		l.fail(err)
		return execFailureStatus
	}
	l.fail(err)
	return 1
}

// fail writes one record of level error, and below or beside it what a person
// needs: the message, if the record went to a file, and what to do next.
func (l *logger) fail(err error) {
	msg, record := oneLine(err), logrus.NewEntry(l.records)
	_, json := l.records.Formatter.(*logrus.JSONFormatter)
	if json || l.file { // as text on standard error they would say it twice: Podman shows that to its users
		record = record.WithFields(details(err))
	}
	record.Error(msg)
	if json && !l.file {
		return // a program reads standard error and wants JSON only
	}
	if l.file {
		fmt.Fprintln(l.err, msg)
	}
	if hint := nextStep(err); hint != "" {
		fmt.Fprintln(l.err, hint)
	}
}

// nextStep is what a person can do about err, if that is known. The hint of a
// failed step is in its message.
func nextStep(err error) string {
	var usage *usageError
	if errors.As(err, &usage) {
		return usage.hint()
	}
	return ""
}

// details are the parts of a failed step, beside the message for programs.
func details(err error) logrus.Fields {
	fields := logrus.Fields{}
	var failure *libcontainer.Failure
	if !errors.As(err, &failure) {
		return fields
	}
	for name, value := range map[string]string{
		"field":   failure.Field,
		"step":    failure.Step,
		"syscall": failure.Syscall,
		"errno":   errnoName(failure.Errno),
		"hint":    failure.Hint,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	return fields
}

// errnoName is the name as in errno(3), "" for none.
func errnoName(e unix.Errno) string {
	if e == 0 {
		return ""
	}
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", int(e))
}

// oneLine is the message on one line, as joined errors come one a line. Parts
// of it may come from a container's files: nothing in it moves a cursor.
func oneLine(err error) string {
	return printable(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// textFormat is logrus's text record, or a plain line where a person reads.
type textFormat struct{ out *os.File }

func (t textFormat) Format(e *logrus.Entry) ([]byte, error) {
	if !isTerminal(t.out) {
		text := &logrus.TextFormatter{DisableColors: true, TimestampFormat: time.RFC3339}
		return text.Format(e)
	}
	prefix := "onggi: "
	if e.Level != logrus.ErrorLevel {
		prefix += e.Level.String() + ": "
	}
	return []byte(prefix + e.Message + "\n"), nil
}
