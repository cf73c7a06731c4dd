package netdev

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFind(t *testing.T) {
	d, err := Find("lo")
	if err != nil {
		t.Fatal(err)
	}
	if d.Index <= 0 || len(d.Addresses) != 0 {
		t.Errorf("Find(lo) = %+v; want an index, and no address that moves: they are the host's own", d)
	}
	if index, err := Index(answer(unix.ENODEV, Ask("x"), true, "")); !errors.Is(err, unix.ENODEV) {
		t.Errorf("Index of an error = %d, %v; want ENODEV", index, err)
	}
	if _, err := Find("no-such-device"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("Find(no-such-device) = %v; want ENODEV", err)
	}
}
