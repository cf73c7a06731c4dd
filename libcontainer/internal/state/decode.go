package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// parseRecord parses bytes that anyone may have overwritten. A value of the wrong type is an
// error; null is wrong for every type. Unknown fields are skipped: a later version may have
// written them. See reader for words.
func parseRecord(id string, data []byte, words map[string]string) (*Record, error) {
	var rec Record
	r := reader{data: data, words: words}
	r.record(&rec)
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	if rec.ID != id {
		return nil, fmt.Errorf("/id: it is for container %q", rec.ID)
	}
	if err := rec.check(); err != nil {
		return nil, err
	}
	return &rec, nil
}

func (r *reader) record(rec *Record) {
	r.object(func(key []byte) {
		switch string(key) {
		case "ociVersion":
			rec.OCIVersion = r.word()
		case "id":
			rec.ID = r.str()
		case "bundle":
			rec.Bundle = r.str()
		case "rootfs":
			rec.Rootfs = r.str()
		case "created":
			rec.Created = r.time()
		case "annotations":
			rec.Annotations = r.dict()
		case "init":
			rec.Init = r.identity()
		case "creating":
			rec.Creating = r.identity()
		case "rootless":
			rec.Rootless = r.bool()
		case "noNewKeyring":
			rec.NoNewKeyring = r.bool()
		case "notifySocket":
			rec.NotifySocket = r.str()
		case "cgroup":
			rec.Cgroup = r.cgroup()
		case "resctrl":
			rec.Resctrl = nil
			r.array(func() { rec.Resctrl = append(rec.Resctrl, r.str()) })
		case "intents":
			rec.Intents = r.intents()
		default:
			r.skip()
		}
	})
}

func (r *reader) identity() (id proc.Identity) {
	r.object(func(key []byte) {
		switch string(key) {
		case "pid":
			id.Pid = int(r.uint(31))
		case "pidfdInode":
			id.PidfdInode = r.uint(64)
		case "startTime":
			id.StartTime = r.uint(64)
		case "bootId":
			id.BootID = r.word()
		default:
			r.skip()
		}
	})
	return id
}

func (r *reader) cgroup() (c Cgroup) {
	r.object(func(key []byte) {
		switch string(key) {
		case "manager":
			c.Manager = r.word()
		case "v1":
			c.V1 = make([]CgroupPath, 0, hierarchies)
			r.array(func() { c.V1 = append(c.V1, r.cgroupDir()) })
			c.V1 = unlessEmpty(c.V1)
		case "unified":
			d := r.cgroupDir()
			c.Unified = &d
		case "scope":
			c.Scope = r.str()
		default:
			r.skip()
		}
	})
	return c
}

func (r *reader) cgroupDir() (d CgroupPath) {
	r.object(func(key []byte) {
		switch string(key) {
		case "controllers":
			d.Controllers = nil
			r.array(func() { d.Controllers = append(d.Controllers, r.word()) })
		case "mountpoint":
			d.Mountpoint = r.word()
		case "root":
			d.Root = r.str()
		case "path":
			d.Path = r.str()
		default:
			r.skip()
		}
	})
	return d
}

func (r *reader) intents() []Intent {
	list := make([]Intent, 0, hierarchies)
	r.array(func() {
		var i Intent
		r.object(func(key []byte) {
			switch string(key) {
			case "kind":
				i.Kind = Kind(r.word())
			case "name":
				i.Name = r.str()
			default:
				r.skip()
			}
		})
		list = append(list, i)
	})
	return unlessEmpty(list)
}

// hierarchies is the number of cgroup v1 hierarchies on a host. A list of cgroups that grows one
// by one would leave twice its size as garbage, for each container.
const hierarchies = 12

func unlessEmpty[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// reader reads JSON. After the first error it returns zero values, and every loop ends.
type reader struct {
	data  []byte
	pos   int
	err   error
	words map[string]string // strings seen before, so that each is allocated once; may be nil
}

func (r *reader) fail(want string) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: want %s", r.pos, want)
	}
}

// peek returns the next byte that is not blank. It returns 0 at the end and after an error.
func (r *reader) peek() byte {
	for r.err == nil && r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

func (r *reader) want(c byte) {
	if !r.take(c) {
		r.fail(strconv.QuoteRune(rune(c)))
	}
}

func (r *reader) end() {
	if r.peek() != 0 || r.pos < len(r.data) {
		r.fail("the end")
	}
}

// list reads the elements between two brackets, separated by commas.
func (r *reader) list(left, right byte, element func()) {
	r.want(left)
	if r.take(right) {
		return
	}
	for r.err == nil {
		element()
		if r.take(right) {
			return
		}
		r.want(',')
	}
}

// object reads an object. The key that it passes to field is valid only during the call.
func (r *reader) object(field func(key []byte)) {
	r.list('{', '}', func() {
		key := r.text()
		r.want(':')
		field(key)
	})
}

func (r *reader) array(element func()) { r.list('[', ']', element) }

func (r *reader) dict() map[string]string {
	m := map[string]string{}
	r.object(func(key []byte) { m[string(key)] = r.str() })
	return m
}

func (r *reader) str() string { return string(r.text()) }

// word is str for texts that many containers have in common.
func (r *reader) word() string {
	text := r.text()
	if s, ok := r.words[string(text)]; ok {
		return s
	}
	s := string(text)
	if r.words != nil {
		r.words[s] = s
	}
	return s
}

// text returns the text of a string. Mostly it is a part of the data, without a copy.
func (r *reader) text() []byte {
	if r.peek() != '"' {
		r.fail("a string")
		return nil
	}
	rest := r.data[r.pos+1:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || !isPlain(rest[:end]) {
		return r.escaped()
	}
	r.pos += end + 2
	return rest[:end]
}

func (r *reader) escaped() []byte {
	var s string
	r.decode(&s, "a string")
	return []byte(s)
}

// skip skips a value of any type.
func (r *reader) skip() {
	var raw json.RawMessage
	r.decode(&raw, "a value")
}

func (r *reader) decode(value any, want string) {
	d := json.NewDecoder(bytes.NewReader(r.data[r.pos:]))
	if r.err != nil || d.Decode(value) != nil {
		r.fail(want)
		return
	}
	r.pos += int(d.InputOffset())
}

func (r *reader) uint(bits int) uint64 {
	r.peek()
	rest := r.data[r.pos:]
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	value, err := strconv.ParseUint(string(rest[:n]), 10, bits)
	if err != nil || n > 1 && rest[0] == '0' {
		r.fail(fmt.Sprintf("a number of %d bits", bits))
		return 0
	}
	r.pos += n
	return value
}

func (r *reader) bool() bool {
	for _, value := range []string{"true", "false"} {
		if r.peek(); bytes.HasPrefix(r.data[r.pos:], []byte(value)) {
			r.pos += len(value)
			return value == "true"
		}
	}
	r.fail("true or false")
	return false
}

func (r *reader) time() time.Time {
	at := r.pos
	t, err := time.Parse(time.RFC3339Nano, r.str())
	if err != nil {
		r.pos = at
		r.fail("a time of RFC 3339")
	}
	return t
}
