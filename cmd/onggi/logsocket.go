package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// The sockets of the log daemons: systemd-journald.socket(8), syslog(3).
const (
	journalSocket = "/run/systemd/journal/socket"
	syslogSocket  = "/dev/log"
)

// A logSocket sends each record to a log daemon as one datagram.
type logSocket struct{ fd int }

// logTime bounds the wait for a log daemon that is stopped. After that, the record is lost.
const logTime = 2 * time.Second

func dialLog(path string) (*logSocket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_UNIX, SOCK_DGRAM)", err)
	}
	tv := unix.NsecToTimeval(int64(logTime))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt(SO_SNDTIMEO)", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("flag --log: no log daemon listens: connect(%q): %w", path, err)
	}
	return &logSocket{fd}, nil
}

// Write sends one record. A record that is too long for a datagram is sent as a sealed file,
// which is part of the journal's native protocol. syslogd cannot read that, and Write returns
// the error.
func (s *logSocket) Write(record []byte) (int, error) {
	err := unix.Send(s.fd, record, unix.MSG_NOSIGNAL)
	if err == unix.EMSGSIZE || err == unix.ENOBUFS {
		err = s.sendFile(record)
	}
	if err != nil {
		return 0, os.NewSyscallError("send to the log", err)
	}
	return len(record), nil
}

func (s *logSocket) sendFile(record []byte) error {
	fd, err := unix.MemfdCreate("record", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "record")
	defer f.Close()
	if _, err := f.Write(record); err != nil {
		return err
	}
	// journald refuses a file that could change while it reads it.
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return unix.Sendmsg(s.fd, nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
}

// priority returns the number of a level in syslog(3).
func priority(l logrus.Level) int {
	switch {
	case l <= logrus.ErrorLevel:
		return 3
	case l == logrus.WarnLevel:
		return 4
	case l == logrus.InfoLevel:
		return 6
	}
	return 7
}

// message returns the text of a record: the plain message, or with --log-format json the JSON
// form.
func message(e *logrus.Entry, as logrus.Formatter) (string, error) {
	if as == nil {
		return e.Message, nil
	}
	text, err := as.Format(e)
	return strings.TrimSuffix(string(text), "\n"), err
}

// journalFormat is the journal's native protocol ("Native Journal Protocol", systemd). The
// parts of an error are separate fields, so that people can search by them.
type journalFormat struct {
	ident string
	as    logrus.Formatter
}

func (j journalFormat) Format(e *logrus.Entry) ([]byte, error) {
	text, err := message(e, j.as)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	journalField(&b, "PRIORITY", strconv.Itoa(priority(e.Level)))
	journalField(&b, "SYSLOG_IDENTIFIER", j.ident)
	journalField(&b, "MESSAGE", text)
	names := make([]string, 0, len(e.Data))
	for name := range e.Data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		journalField(&b, "ONGGI_"+strings.ToUpper(name), fmt.Sprint(e.Data[name]))
	}
	return b.Bytes(), nil
}

// journalField writes NAME=value. For a value with several lines it writes the name, the
// length and the value.
func journalField(b *bytes.Buffer, name, value string) {
	if !strings.Contains(value, "\n") {
		b.WriteString(name + "=" + value + "\n")
		return
	}
	b.WriteString(name + "\n")
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	b.WriteString(value + "\n")
}

// syslogFormat is the message that syslog(3) sends to a daemon on the same host: RFC 3164
// without the host's name.
type syslogFormat struct {
	ident string
	pid   int
	as    logrus.Formatter
}

func (s syslogFormat) Format(e *logrus.Entry) ([]byte, error) {
	text, err := message(e, s.as)
	if err != nil {
		return nil, err
	}
	const daemon = 3 << 3 // LOG_DAEMON
	return fmt.Appendf(nil, "<%d>%s %s[%d]: %s", daemon|priority(e.Level), e.Time.Format(time.Stamp), s.ident, s.pid, text), nil
}
