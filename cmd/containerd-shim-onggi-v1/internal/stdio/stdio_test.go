package stdio

import "testing"

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name string
		want target
		fail bool
	}{
		{name: ""},
		{name: "/run/fifo", want: target{"fifo", "/run/fifo", ""}},
		{name: "fifo:///run/fifo", want: target{"fifo", "/run/fifo", ""}},
		{name: "file:///var/log/x%20y", want: target{"file", "/var/log/x y", ""}},
		{name: "binary:///bin/logger?a=b", want: target{"binary", "/bin/logger", "a=b"}},
		{name: "relative", fail: true},
		{name: "file://relative", fail: true},
		{name: "ttrpc+unix:///s", fail: true},
		{name: "/a\x00b", fail: true},
	} {
		got, err := parse(tc.name)
		if (err != nil) != tc.fail || err == nil && got != tc.want {
			t.Errorf("parse(%q) = %+v, %v; want %+v, an error: %v", tc.name, got, err, tc.want, tc.fail)
		}
	}
}

func TestLoggerArgs(t *testing.T) {
	got, err := loggerArgs(target{"binary", "/l", "b=2&a=1&c="})
	if err != nil || len(got) != 6 || got[1] != "a" || got[2] != "1" || got[5] != "c" {
		t.Errorf("loggerArgs = %q, %v", got, err)
	}
}
