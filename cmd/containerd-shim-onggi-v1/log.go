package main

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// logger writes to the bundle's FIFO "log". containerd copies its lines to its own log. logger
// opens the FIFO for each message. Without a reader, or with a full FIFO, the message is
// lost, so the server never waits for its log.
type logger struct {
	path string
	id   string
}

func newLogger(id string) (*logger, error) {
	dir, err := os.Getwd()
	return &logger{dir + "/log", id}, err
}

func (l *logger) warn(text string) { l.write("warning", text) }

func (l *logger) write(level, text string) {
	fd, err := unix.Open(l.path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	line := "time=" + strconv.Quote(time.Now().UTC().Format(time.RFC3339Nano)) + " level=" + level + " msg=" + strconv.Quote(text) + " id=" + l.id + "\n"
	_, _ = unix.Write(fd, []byte(line))
}
