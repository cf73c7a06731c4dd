package systemd

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseText(t *testing.T) {
	tests := []struct {
		text string
		want Variant
	}{
		{"5", Variant{"i", int32(5)}},
		{"-0x10", Variant{"i", int32(-16)}},
		{"1.5", Variant{"d", 1.5}},
		{" true ", Variant{"b", true}},
		{"uint64 18446744073709551615", Variant{"t", infinity}},
		{"byte 0xff", Variant{"y", byte(255)}},
		{"int16 -1", Variant{"n", int16(-1)}},
		{"uint16 1", Variant{"q", uint16(1)}},
		{"uint32 1", Variant{"u", uint32(1)}},
		{"int64 1", Variant{"x", int64(1)}},
		{"double 1", Variant{"d", 1.0}},
		{"'inactive-or-failed'", Variant{"s", "inactive-or-failed"}},
		{`"it's \"\\\n"`, Variant{"s", "it's \"\\\n"}},
		{"objectpath '/a'", Variant{"o", "/a"}},
		{"['a', 'b']", Variant{"as", []any{"a", "b"}}},
		{"@as []", Variant{"as", []any{}}},
		{"@au [1, 2]", Variant{"au", []any{uint32(1), uint32(2)}}},
		{"[byte 1, 2]", Variant{"ay", []any{byte(1), byte(2)}}},
		{"[('/dev/null', 'rw'), ('char-pts', 'r')]", Variant{"a(ss)", []any{[]any{"/dev/null", "rw"}, []any{"char-pts", "r"}}}},
		{"@a(st) [('/dev/sda', 5)]", Variant{"a(st)", []any{[]any{"/dev/sda", uint64(5)}}}},
		{"(1,)", Variant{"(i)", []any{int32(1)}}},
		{"[[1], [2]]", Variant{"aai", []any{[]any{int32(1)}, []any{int32(2)}}}},
	}
	for _, test := range tests {
		got, err := parseText(test.text)
		if !reflect.DeepEqual(got, test.want) || err != nil {
			t.Errorf("parseText(%q) = %#v, %v; want %#v", test.text, got, err, test.want)
		}
	}
	for _, text := range []string{
		"", "x", "5 6", "[", "[]", "[1, 'a']", "[1 2]", "(", "()", "'a", "uint64 -1", "byte 256", "uint32 'a'", "@ 5", "@a", "@z 5", "@(su) ('a',)",
		"@as 5", "@a(b) (0", "@u [1]", "@i true", "string 5", strings.Repeat("[", 100) + "1" + strings.Repeat("]", 100),
	} {
		if got, err := parseText(text); err == nil {
			t.Errorf("parseText(%q) = %#v; want an error", text, got)
		}
	}
}

// Everything that parses can be sent.
func FuzzParseText(f *testing.F) {
	f.Add("@a(st) [('/dev/sda', 5)]")
	f.Add("[byte 1, 2]")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseText(text)
		if err != nil {
			return
		}
		var e encoder
		if e.value("v", v); e.err != nil {
			t.Errorf("parseText(%q) = %#v, which is %v", text, v, e.err)
		}
	})
}

func TestAnnotations(t *testing.T) {
	got, err := Annotations(map[string]string{
		"org.systemd.property.TimeoutStopUSec": "uint64 123", "org.systemd.property.CollectMode": "'inactive'", "other": "x",
		"org.systemd.property.RuntimeMaxSec": "1.5", "org.systemd.property.TimeoutStartSec": "int64 2",
	})
	want := []Property{
		{"CollectMode", Variant{"s", "inactive"}},
		{"RuntimeMaxUSec", Variant{"t", uint64(1500000)}},
		{"TimeoutStartUSec", Variant{"t", uint64(2000000)}},
		{"TimeoutStopUSec", Variant{"t", uint64(123)}},
	}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("Annotations = %v, %v; want %v", got, err, want)
	}
	for _, bad := range [][2]string{{"No", "5"}, {"Nu1l", "5"}, {"Delegate", "yes"}, {"TimeoutStopSec", "'5'"}, {"TimeoutStopSec", "-1"}, {"TimeoutStopSec", "1e300"}} {
		if got, err := Annotations(map[string]string{AnnotationPrefix + bad[0]: bad[1]}); err == nil || !strings.Contains(err.Error(), "/annotations/org.systemd.property."+bad[0]) {
			t.Errorf("Annotations(%v) = %v, %v; want an error that names it", bad, got, err)
		}
	}
	merged := Override([]Property{{"A", Variant{"b", true}}, {"B", Variant{"b", true}}}, []Property{{"A", Variant{"b", false}}})
	if want := []Property{{"B", Variant{"b", true}}, {"A", Variant{"b", false}}}; !reflect.DeepEqual(merged, want) {
		t.Errorf("Override = %v; want %v", merged, want)
	}
}
