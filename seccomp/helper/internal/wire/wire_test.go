package wire

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func reply(numbers ...uint32) []byte {
	var r Request
	for _, n := range numbers {
		r.Number(n)
	}
	return r
}

func TestParse(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  Reply
		err   string
	}{
		{"done", reply(20, 0, 0, 0, 7), Reply{Body: reply(7)}, ""},
		{"stopped", reply(16, 4, 3, 22), Reply{Status: BadRule, Index: 3, Errno: unix.EINVAL, Body: []byte{}}, ""},
		{"nothing", nil, Reply{}, "0 bytes are not one"},
		{"half a header", reply(12, 0, 0), Reply{}, "12 bytes are not one"},
		{"another length", reply(16, 0, 0, 0, 0), Reply{}, "20 bytes are not one"},
		{"no status", reply(16, 7, 0, 0), Reply{}, "status 7"},
	}
	for _, tt := range tests {
		got, err := Parse(tt.bytes)
		if text := errorText(err); text != tt.err || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: Parse() = %+v, %q; want %+v, %q", tt.name, got, text, tt.want, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReplyBytes(t *testing.T) {
	want := Reply{Status: BadRule, Index: 3, Errno: unix.EINVAL, Body: []byte("why")}
	if got, err := Parse(want.Bytes()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse(Bytes()) = %+v, %v; want %+v", got, err, want)
	}
}

func TestRequest(t *testing.T) {
	var r Request
	r.Number(1)
	r.Text("ab")
	r.Value(1 << 32)
	want := slices.Concat(reply(1, 2), []byte("ab\x00"))
	if !bytes.Equal(r[:len(want)], want) || len(r) != len(want)+8 {
		t.Errorf("a request is %x; want %x and a value", r, want)
	}
}

func TestReader(t *testing.T) {
	var r Request
	r.Number(1)
	r.Value(1 << 40)
	r.Number(2)
	r.Text("ab")
	r.Text("")
	in := Read(r)
	if n, v, c := in.Number(), in.Value(), in.Count(5); n != 1 || v != 1<<40 || c != 2 {
		t.Errorf("a reader takes %d, %d, %d elements; want 1, 1<<40, 2", n, v, c)
	}
	if in.Complete() {
		t.Error("Complete() = true before the texts; want false")
	}
	if a, b := in.Text(), in.Text(); a != "ab" || b != "" || !in.Complete() {
		t.Errorf("texts are %q, %q, complete %v; want ab, nothing, true", a, b, in.Complete())
	}
}

// TestReaderBad checks that each read beyond the end returns a zero and marks the request as invalid.
func TestReaderBad(t *testing.T) {
	long := reply(1<<31, 0)
	reads := []struct {
		name  string
		bytes []byte
		read  func(*Reader) bool // of a zero
	}{
		{"half a number", []byte{1, 0}, func(r *Reader) bool { return r.Number() == 0 }},
		{"half a value", reply(1), func(r *Reader) bool { return r.Value() == 0 }},
		{"more elements than bytes", long, func(r *Reader) bool { return r.Count(1) == 0 }},
		{"a text that is too long", long, func(r *Reader) bool { return r.Text() == "" }},
		{"a text without NUL", append(reply(4), "abcde"...), func(r *Reader) bool { return r.Text() == "" }},
		{"a text with another NUL", append(reply(4), "a\x00cd\x00"...), func(r *Reader) bool { return r.Text() == "" }},
	}
	for _, tt := range reads {
		in := Read(tt.bytes)
		if !tt.read(in) || in.Complete() || in.Number() != 0 {
			t.Errorf("%s is read, or the request is complete; want a zero and a bad request", tt.name)
		}
	}
}
