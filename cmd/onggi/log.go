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

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// A logger writes the messages for engines and for people. Engines pass a file and parse
// runc's records in it. containerd's shim takes the last record of level error. Podman
// expects the whole file to be one JSON object. So a file gets only the one error, unless
// --log-level asks for more.
type logger struct {
	records *logrus.Logger
	file    bool     // records go to a file or a daemon, where people do not see them
	err     *os.File // standard error
}

func newLogger(stderr *os.File) *logger {
	records := logrus.New()
	records.SetOutput(stderr)
	records.SetLevel(logrus.WarnLevel)
	records.SetFormatter(textFormat{stderr})
	return &logger{records: records, err: stderr}
}

// open applies the global flags: destination, form and level of the records.
func (l *logger) open(path, format, level string) error {
	var as logrus.Formatter
	if format == "json" {
		as = &logrus.JSONFormatter{TimestampFormat: time.RFC3339, DisableHTMLEscape: true}
		l.records.SetFormatter(as)
	}
	if path != "" && path != "/dev/stderr" { // /dev/stderr is runc's default
		if err := l.redirect(path, as); err != nil {
			return err
		}
		l.file = true
		l.records.SetLevel(logrus.ErrorLevel)
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

// redirect sends records to a file or, as crun does, to a log daemon under a name. as is the
// form of the records in a file, or of the messages for a daemon. It may be nil.
func (l *logger) redirect(path string, as logrus.Formatter) error {
	backend, name, named := strings.Cut(path, ":")
	if !named {
		backend = "file"
	}
	if name == "" {
		name = "onggi"
	}
	var socket string
	var form logrus.Formatter
	switch backend {
	case "journald":
		socket, form = journalSocket, journalFormat{name, as}
	case "syslog":
		socket, form = syslogSocket, syslogFormat{name, os.Getpid(), as}
	default:
		f, err := os.OpenFile(strings.TrimPrefix(path, "file:"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		l.records.SetOutput(f)
		if as == nil {
			l.records.SetFormatter(textFormat{f})
		}
		return nil
	}
	s, err := dialLog(socket)
	if err != nil {
		return err
	}
	l.records.SetOutput(s)
	l.records.SetFormatter(form)
	return nil
}

func (l *logger) debug(msg string) { l.records.Debug(msg) }
func (l *logger) warn(msg string)  { l.records.Warn(msg) }

// exit reports err, if it is not nil, and returns onggi's exit status.
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
	if usage := (*cli.UsageError)(nil); errors.As(err, &usage) && usage.Status != 0 {
		return usage.Status
	}
	return 1
}

// fail writes one record of level error. It adds lines for people: the message, if the record
// went to a file, and the next step.
func (l *logger) fail(err error) {
	msg, record := oneLine(err), logrus.NewEntry(l.records)
	_, json := l.records.Formatter.(*logrus.JSONFormatter)
	if json || l.file { // a text on standard error has them in the message already, and Podman shows it to its users
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

// nextStep returns advice for err, or "". The hint of a failed step is in its message already.
func nextStep(err error) string {
	var usage *cli.UsageError
	if errors.As(err, &usage) {
		return usage.Hint
	}
	return ""
}

// details returns the parts of a failed step, for programs.
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

// errnoName returns the name of an errno as in errno(3), or "" for none.
func errnoName(e unix.Errno) string {
	if e == 0 {
		return ""
	}
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return fmt.Sprintf("errno %d", int(e))
}

// oneLine returns the message of err on one line: joined errors have several. Parts of the
// message may come from a container's files, so control characters are replaced.
func oneLine(err error) string {
	return printable(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
}

// printable replaces characters that control a terminal: control characters and those that
// change the direction of text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}

// textFormat is logrus's text record, or a plain line if the output is a terminal.
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
	return []byte(prefix + printable(e.Message) + "\n"), nil
}
