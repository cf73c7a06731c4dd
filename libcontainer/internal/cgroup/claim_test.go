package cgroup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMarkIsReadAsWritten(t *testing.T) {
	m := mark{
		Claim: Claim{Boot: "7686f805-d96f-40b7-94c4-69a3002086db", Root: "/run/on\nggi", ID: "web", Created: 1795994091796224904, By: 4711},
		made:  []string{"/sys/fs/cgroup/freezer/a b", "/sys/fs/cgroup/freezer/a b/web"},
	}
	got := parseMark(string(m.encode()))
	if got.head() != m.head() || got.By != m.By || !slices.Equal(got.made, m.made) {
		t.Errorf("parseMark(encode()) = %+v; want %+v", got, m)
	}
}

func TestMarkThatIsNobodys(t *testing.T) {
	for name, text := range map[string]string{
		"garbage":         "\x00\xff",
		"another key":     "boot x\ncolour red\n",
		"no number":       "created soon\n",
		"not quoted":      "id web\n",
		"a line too many": string((mark{Claim: Claim{ID: "web"}}).encode()) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if m := parseMark(text); m.head() != (Claim{}).head() {
				t.Errorf("parseMark(%q) = %+v; want nobody's", text, m)
			}
		})
	}
}

func TestMarkFits(t *testing.T) {
	m := mark{made: []string{"/a", "/" + strings.Repeat("b", maxMark)}}
	if text := m.encode(); len(text) > maxMark || !slices.Equal(parseMark(string(text)).made, m.made[:1]) {
		t.Errorf("encode() has %d bytes; want at most %d, with what fits", len(text), maxMark)
	}
}

// TestMadeIsOnTheWay: a mark written by the container can only name its own cgroup and the parents of it.
func TestMadeIsOnTheWay(t *testing.T) {
	p := Paths{Unified: &Dir{Mountpoint: "/sys/fs/cgroup", Path: "/a/b"}}
	got := p.onTheWay([]string{"/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a/b/c", "/sys/fs/cgroup/ab", "/tmp"})
	if want := []string{"/sys/fs/cgroup/a", "/sys/fs/cgroup/a/b"}; !slices.Equal(got, want) {
		t.Errorf("onTheWay() = %q; want %q", got, want)
	}
}

// TestMarksOfALoser: a create that has handed its directories over to another one, which then fails too, leaves nothing.
func TestMarksOfALoser(t *testing.T) {
	for name, busy := range map[string]bool{"the mark is free": false, "another process changes it": true} {
		t.Run(name, func(t *testing.T) {
			p := newPaths(t, "loser")
			p, made := create(t, p, CreateOptions{})
			dir := p.processDirs()[0].Abs()
			winner := mark{Claim: Claim{ID: "winner", Created: 1}, name: trustedMark}
			if err := winner.set(dir, unix.XATTR_CREATE); err != nil {
				t.Fatal(err)
			}
			if busy {
				fd, err := lockDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(5*time.Millisecond, func() { unix.Close(fd) })
			}
			if !(mark{made: made}).handOver(dir) {
				t.Fatal("handOver() = false; want true")
			}
			if got := p.release([]string{dir}); !slices.Equal(got, made) {
				t.Errorf("release() = %q; want %q, which were handed over", got, made)
			}
			if _, err := readMark(dir); err != unix.ENODATA {
				t.Errorf("readMark() = %v; want %v", err, unix.ENODATA)
			}
		})
	}
}

// TestALockWithoutAnEnd: a container may keep the lock of its cgroup.
func TestALockWithoutAnEnd(t *testing.T) {
	p, _ := create(t, newPaths(t, "lock"), CreateOptions{})
	dir := p.processDirs()[0].Abs()
	fd, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if fd, err := lockDir(dir); err != unix.EWOULDBLOCK {
		t.Errorf("lockDir() = %d, %v; want %v", fd, err, unix.EWOULDBLOCK)
	}
}
