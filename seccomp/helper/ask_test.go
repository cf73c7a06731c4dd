package helper

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
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
		got, err := parse(tt.bytes)
		if text := errorText(err); text != tt.err || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: parse() = %+v, %q; want %+v, %q", tt.name, got, text, tt.want, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
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

// need skips a test in a build without the helper.
func need(t *testing.T) {
	t.Helper()
	if Identity() == "none" {
		t.Skip("built without a helper: neither cgo nor the tag onggi_helper")
	}
}

func TestAskNonsense(t *testing.T) {
	need(t)
	for _, request := range []Request{reply(9), reply(Filter), reply(Pattern, 1)} {
		if _, err := Ask(context.Background(), request); errorText(err) != "helper: it cannot read the request" {
			t.Errorf("Ask(%x) = %v", request, err)
		}
	}
}

func TestMatch(t *testing.T) {
	need(t)
	all := []string{"web-1", "web-22", "db", "DB.main", "a+b", "x_y"}
	tests := []struct {
		expression, want string
	}{
		{"", "web-1 web-22 db DB.main a+b x_y"},
		{"web", "web-1 web-22"},
		{"b$", "db a+b"},
		{"^web-[[:digit:]]{2}$", "web-22"},
		{"^[[:upper:]]", "DB.main"},
		{"[[:punct:]]", "web-1 web-22 DB.main a+b x_y"},
		{"^(db|x.y)$", "db x_y"},
		{`a\+b`, "a+b"},
		{"[.]", "DB.main"},
		{"nobody", ""},
	}
	for _, tt := range tests {
		got, err := Match(context.Background(), tt.expression, all)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("Match(%q) = %q, %v; want %s", tt.expression, got, err, tt.want)
		}
	}
	if got, err := Match(context.Background(), "x", nil); err != nil || got != nil {
		t.Errorf("Match() of nothing = %q, %v", got, err)
	}
}

func TestMatchBadExpression(t *testing.T) {
	need(t)
	tests := []struct {
		expression, want string
	}{
		{"[", `regcomp "[": Invalid regular expression`},
		{"[a", `regcomp "[a": Unmatched [, [^, [:, [., or [=`},
		{"(a", `regcomp "(a": Unmatched ( or \(`},
		{"[[:digits:]]", `regcomp "[[:digits:]]": Invalid character class name`},
		{"a{2,1}", `regcomp "a{2,1}": Invalid content of \{\}`},
		{strings.Repeat("x", 5000), "Regular expression too big"},
		{"a\x00", "helper: it cannot read the request"},
	}
	for _, tt := range tests {
		if _, err := Match(context.Background(), tt.expression, []string{"a"}); !strings.HasSuffix(errorText(err), tt.want) {
			t.Errorf("Match(%q) = %v; want %s", tt.expression, err, tt.want)
		}
	}
}

// What a helper that is not ours may say is an error, or about texts that it was asked about.
func TestMatchedBadReply(t *testing.T) {
	for _, r := range []Reply{
		{Status: Done},
		{Status: Done, Body: reply(1)},
		{Status: Done, Body: reply(1, 1, 1)},
		{Status: BadRule, Body: reply(1, 1)},
		{Status: BadPattern, Body: []byte("two\nlines \x1b[31m" + strings.Repeat("x", 1<<20))},
	} {
		got, err := matched("x", []string{"a", "b"}, r)
		if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400 {
			t.Errorf("matched(%v, %d bytes) = %q, %v", r.Status, len(r.Body), got, err)
		}
	}
}

func TestWithout(t *testing.T) {
	if Identity() != "none" {
		t.Skip("built with a helper")
	}
	if _, err := Match(context.Background(), "x", nil); err == nil || !strings.Contains(err.Error(), "built without") {
		t.Errorf("Match() = %v; want an error that says why", err)
	}
}
