package helper

import (
	"context"
	"strings"
	"testing"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

func reply(numbers ...uint32) []byte {
	var r Request
	for _, n := range numbers {
		r.Number(n)
	}
	return r
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
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
		{"[", `regular expression "[": missing closing ]`},
		{"[a", `regular expression "[a": missing closing ]`},
		{"(a", `regular expression "(a": missing closing )`},
		{"*a", `regular expression "*a": missing argument to repetition operator`},
		{"[[:digits:]]", `regular expression "[[:digits:]]": POSIX has no character class [:digits:]`},
		{"a{2,1}", `regular expression "a{2,1}": invalid repeat count`},
		{"((((a{1,250}){1,250}){1,250}){1,250})", `: invalid repeat count`},
		{strings.Repeat("(", 5000) + strings.Repeat(")", 5000), ": expression nests too deeply"},
		{"a\x00", "helper: it cannot read the request"},
	}
	for _, tt := range tests {
		if _, err := Match(context.Background(), tt.expression, []string{"a"}); !strings.HasSuffix(errorText(err), tt.want) {
			t.Errorf("Match(%q) = %v; want %s", tt.expression, err, tt.want)
		}
	}
}

// TestAskLong checks that Ask rejects a long request before it writes anything.
func TestAskLong(t *testing.T) {
	if _, err := Ask(context.Background(), make(Request, wire.MaxRequest+1)); errorText(err) != "helper: a request of 16777217 bytes is longer than 16777216" {
		t.Errorf("Ask() = %v; want an error with the sizes", err)
	}
}

// TestMatchedBadReply checks that a bad reply gives an error, or texts of the question only.
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
