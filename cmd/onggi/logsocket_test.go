package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// logDaemon returns a socket like that of a log daemon, and a logger that sends its records there.
func logDaemon(t *testing.T, form logrus.Formatter) (*net.UnixConn, *logger) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { daemon.Close() })
	s, err := dialLog(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	l := newLogger(tempFile(t))
	l.file = true
	l.records.SetOutput(s)
	l.records.SetFormatter(form)
	return daemon, l
}

// receiveRecord receives one record, in a datagram or in a sealed file.
func receiveRecord(t *testing.T, daemon *net.UnixConn) string {
	t.Helper()
	buf, oob := make([]byte, 1<<20), make([]byte, 64)
	n, oobn, _, _, err := daemon.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if oobn == 0 {
		return string(buf[:n])
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || n != 0 {
		t.Fatalf("%d bytes beside a descriptor, %v", n, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	f := os.NewFile(uintptr(fds[0]), "record")
	defer f.Close()
	const want = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals != want {
		t.Errorf("the file has the seals %#x, %v; want %#x: journald would not read it", seals, err, want)
	}
	var text bytes.Buffer
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := text.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// journalFields parses a record as journald does.
func journalFields(t *testing.T, record string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for record != "" {
		line, rest, ok := strings.Cut(record, "\n")
		if !ok {
			t.Fatalf("%q does not end with a newline", record)
		}
		name, value, simple := strings.Cut(line, "=")
		if !simple {
			size := binary.LittleEndian.Uint64([]byte(rest))
			value, rest = rest[8:8+size], rest[8+size:]
			if !strings.HasPrefix(rest, "\n") {
				t.Fatalf("no newline behind the value of %s", name)
			}
			rest = rest[1:]
		}
		fields[name], record = value, rest
	}
	return fields
}

func TestJournal(t *testing.T) {
	daemon, l := logDaemon(t, journalFormat{ident: "web"})
	l.fail(errMount)
	want := map[string]string{
		"PRIORITY": "3", "SYSLOG_IDENTIFIER": "web", "MESSAGE": oneLine(errMount),
		"ONGGI_FIELD": "/mounts/2", "ONGGI_STEP": `mount "tmpfs" at "/dev"`, "ONGGI_SYSCALL": "fsmount(5, 0, 0)", "ONGGI_ERRNO": "EPERM", "ONGGI_HINT": "try it <again>",
	}
	if got := journalFields(t, receiveRecord(t, daemon)); !reflect.DeepEqual(got, want) {
		t.Errorf("the journal got %q; want %q", got, want)
	}
	for level, priority := range map[logrus.Level]string{logrus.WarnLevel: "4", logrus.InfoLevel: "6", logrus.DebugLevel: "7", logrus.ErrorLevel: "3"} {
		l.records.SetLevel(logrus.DebugLevel)
		l.records.Log(level, "m\nn")
		if got := journalFields(t, receiveRecord(t, daemon)); got["PRIORITY"] != priority || got["MESSAGE"] != "m\nn" {
			t.Errorf("level %v: the journal got %q; want priority %s", level, got, priority)
		}
	}
}

func TestJournalTakesLongRecordsAsFiles(t *testing.T) {
	daemon, l := logDaemon(t, journalFormat{ident: "web"})
	long := strings.Repeat("x", 8<<20) // more than net.core.wmem_max allows
	l.fail(errors.New(long))
	if got := journalFields(t, receiveRecord(t, daemon)); got["MESSAGE"] != long {
		t.Errorf("the journal got a message of %d bytes; want %d", len(got["MESSAGE"]), len(long))
	}
}

func TestSyslog(t *testing.T) {
	daemon, l := logDaemon(t, syslogFormat{ident: "web", pid: os.Getpid()})
	l.fail(errMount)
	want := regexp.MustCompile(`^<27>(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 123]\d \d\d:\d\d:\d\d web\[` + strconv.Itoa(os.Getpid()) + `\]: (.*)$`)
	got := want.FindStringSubmatch(receiveRecord(t, daemon))
	if got == nil || got[2] != oneLine(errMount) {
		t.Errorf("syslogd got %q; want %s", got, want)
	}
}

// A log daemon has a form of its own for records. There --log-format applies only to the message.
func TestLogDaemonsTakeJSON(t *testing.T) {
	const want = `"errno":"EPERM","field":"/mounts/2"`
	json := &logrus.JSONFormatter{}
	daemon, l := logDaemon(t, journalFormat{ident: "web", as: json})
	l.fail(errMount)
	if got := journalFields(t, receiveRecord(t, daemon))["MESSAGE"]; !strings.Contains(got, want) || !strings.HasSuffix(got, "}") {
		t.Errorf("the journal's message is %s; want %s in it", got, want)
	}
	daemon, l = logDaemon(t, syslogFormat{ident: "web", as: json})
	l.fail(errMount)
	if got := receiveRecord(t, daemon); !strings.Contains(got, ": {"+want) {
		t.Errorf("syslogd got %s; want %s in it", got, want)
	}
}

func TestLogDaemonThatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	want := fmt.Sprintf("flag --log: no log daemon listens: connect(%q): no such file or directory", path)
	if _, err := dialLog(path); err == nil || err.Error() != want {
		t.Errorf("dialLog = %v; want %s", err, want)
	}
}

// A stopped daemon accepts only as many records as its queue holds. After that, no logger may wait for ever.
func TestAStoppedLogDaemonHoldsNobodyUp(t *testing.T) {
	_, l := logDaemon(t, journalFormat{ident: "onggi"})
	s := l.records.Out.(*logSocket)
	for {
		switch _, err := s.Write([]byte("MESSAGE=x\n")); {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			t.Fatal(err)
		}
	}
}
