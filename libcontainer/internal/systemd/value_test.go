package systemd

import (
	"bytes"
	"reflect"
	"testing"
)

// The layout of the D-Bus specification, "Marshaling (Wire Format)".
func TestEncode(t *testing.T) {
	tests := []struct {
		sig    string
		values []any
		want   string
	}{
		{"y", []any{byte(7)}, "\x07"},
		{"yu", []any{byte(7), uint32(9)}, "\x07\x00\x00\x00\x09\x00\x00\x00"},
		{"b", []any{true}, "\x01\x00\x00\x00"},
		{"nqx", []any{int16(-2), uint16(3), int64(-1)}, "\xfe\xff\x03\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"d", []any{1.5}, "\x00\x00\x00\x00\x00\x00\xf8\x3f"},
		{"s", []any{"foo"}, "\x03\x00\x00\x00foo\x00"},
		{"g", []any{"as"}, "\x02as\x00"},
		{"v", []any{Variant{"u", uint32(1)}}, "\x01u\x00\x00\x01\x00\x00\x00"},
		{"ay", []any{[]any{byte(1), byte(2)}}, "\x02\x00\x00\x00\x01\x02"},
		// The padding before the first element is not part of the length.
		{"at", []any{[]any{uint64(5)}}, "\x08\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00"},
		{"at", []any{[]any{}}, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a(sv)", []any{[]any{[]any{"x", Variant{"b", false}}}}, "\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00x\x00\x01b\x00\x00\x00\x00\x00\x00\x00\x00"},
	}
	for _, test := range tests {
		var e encoder
		e.values(test.sig, test.values)
		if got := string(e.buf); got != test.want || e.err != nil {
			t.Errorf("values(%q, %v) = %q, %v; want %q", test.sig, test.values, got, e.err, test.want)
		}
	}
	for _, bad := range []struct {
		sig    string
		values []any
	}{{"u", []any{uint64(1)}}, {"u", nil}, {"", []any{"x"}}, {"(su)", []any{[]any{"x"}}}, {"u", []any{struct{ s string }{}}}} {
		var e encoder
		if e.values(bad.sig, bad.values); e.err == nil {
			t.Errorf("values(%q, %v) is no error", bad.sig, bad.values)
		}
	}
}

func TestMessage(t *testing.T) {
	m, err := newMessage(methodCall, map[int]any{fieldPath: "/a", fieldInterface: "b.c", fieldMember: "Do", fieldDestination: "d.e", fieldReplySerial: uint32(5)}, "uoss",
		uint32(1), "/job", "unit", "done")
	if err != nil {
		t.Fatal(err)
	}
	m.serial = 77
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader(append(data, data...))
	for range 2 {
		got, err := readMessage(in)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("readMessage = %+v, %v; want %+v", got, err, m)
		}
		values, err := got.values("uoss")
		if want := []any{uint32(1), "/job", "unit", "done"}; !reflect.DeepEqual(values, want) || err != nil {
			t.Errorf("values = %v, %v; want %v", values, err, want)
		}
		if _, err := got.values("s"); err == nil {
			t.Error("values of another signature is no error")
		}
	}
}

// Every input gives a message that can be written again, or an error.
func FuzzReadMessage(f *testing.F) {
	m, _ := newMessage(signal, map[int]any{fieldPath: "/a", fieldMember: "JobRemoved"}, "uoss", uint32(1), "/job", "unit", "done")
	data, _ := m.encode()
	f.Add(data)
	f.Add([]byte("l\x01\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bytes.NewReader(data))
		if err != nil {
			return
		}
		if _, err := m.encode(); err != nil {
			t.Errorf("encode of what was read: %v", err)
		}
		m.values(m.text(fieldSignature))
	})
}
