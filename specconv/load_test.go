package specconv

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestParseLikeEncodingJSON compares the decoder with encoding/json, which it
// replaces, on configurations of engines.
func TestParseLikeEncodingJSON(t *testing.T) {
	for _, file := range configs(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want specs.Spec
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		got, err := Parse(file, raw)
		if err != nil {
			t.Errorf("Parse(%s): %v", file, err)
			continue
		}
		if !reflect.DeepEqual(got.Spec, &want) {
			t.Errorf("Parse(%s) differs from encoding/json", file)
		}
		if string(got.Raw) != string(raw) {
			t.Errorf("Parse(%s).Raw is not the file", file)
		}
	}
}

// configs returns the configurations that engines wrote (testdata, named after the
// engine), and more files if SPECCONV_CONFIGS is a pattern for them.
func configs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations in testdata: %v", err)
	}
	more, err := filepath.Glob(os.Getenv("SPECCONV_CONFIGS"))
	if err != nil {
		t.Fatal(err)
	}
	return append(files, more...)
}

func TestParse(t *testing.T) {
	const text = `{
	"ociVersion": "1.3.0", "unknown": [{"a": 1.5e3}, null, true, "x"],
	"process": {"args": ["a\n\u00e9", "é", "\ud83d\ude00"], "cwd": "/", "user": {"uid": 4294967295, "gid": 0}, "oomScoreAdj": -7, "env": []},
	"annotations": {"a": "b"},
	"windows": {"layerFolders": 3},
	"linux": {
		"resources": {"blockIO": {"weightDevice": [{"major": 8, "minor": 1, "weight": 500}]}, "rdma": {"m": {"hcaHandles": 3}}},
		"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
		"timeOffsets": {"monotonic": {"secs": -9223372036854775808}},
		"devices": null
	}
}`
	c, err := Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Spec
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"ociVersion", s.Version, "1.3.0"},
		{"args", s.Process.Args, []string{"a\né", "é", "😀"}},
		{"uid", s.Process.User.UID, uint32(4294967295)},
		{"oomScoreAdj", *s.Process.OOMScoreAdj, -7},
		{"env", s.Process.Env, []string{}},
		{"annotations", s.Annotations, map[string]string{"a": "b"}},
		{"windows", s.Windows, (*specs.Windows)(nil)},
		{"embedded", s.Linux.Resources.BlockIO.WeightDevice[0].Minor, int64(1)},
		{"map of structs", *s.Linux.Resources.Rdma["m"].HcaHandles, uint32(3)},
		{"minimum", s.Linux.TimeOffsets["monotonic"].Secs, int64(-1 << 63)},
		{"seccomp", string(c.SeccompRaw), `{"defaultAction": "SCMP_ACT_ALLOW"}`},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s = %#v; want %#v", test.name, test.got, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{``, `c:1:1: unexpected EOF where a value is expected`},
		{`null {}`, `c:1:6: unexpected "{" after the end of the document`},
		{`{} x`, `c:1:4: unexpected "x" after the end of the document`},
		{`[]`, `c:1:1: cannot unmarshal an array where an object is expected`},
		{"{\n  \"ociVersion\": 1\n}", `c:2:17: /ociVersion: cannot unmarshal a number where a string is expected`},
		{`{"process": {"args": ["a", 7]}}`, `c:1:28: /process/args/1: cannot unmarshal a number where a string is expected`},
		{`{"process": {"user": {"uid": -1}}}`, `c:1:30: /process/user/uid: -1 where an integer from 0 to 4294967295 is expected`},
		{`{"process": {"user": {"uid": 4294967296}}}`, `c:1:30: /process/user/uid: 4294967296 where an integer from 0 to 4294967295 is expected`},
		{`{"process": {"oomScoreAdj": 1.5}}`, `c:1:29: /process/oomScoreAdj: 1.5 where an integer from -9223372036854775808 to 9223372036854775807 is expected`},
		{`{"process": {"user": {"uid": "0"}}}`, `c:1:30: /process/user/uid: cannot unmarshal a string where an integer from 0 to 4294967295 is expected`},
		{`{"process": {"terminal": "yes"}}`, `c:1:26: /process/terminal: cannot unmarshal a string where true or false is expected`},
		{`{"process": {"cwd": "é", "cwd": "/"}}`, `c:1:26: /process/cwd: given twice`},
		{`{"linux": {"sysctl": {"a/b~": 1}}}`, `c:1:31: /linux/sysctl/a~1b~0: cannot unmarshal a number where a string is expected`},
		{`{"linux": {"sysctl": {"a": "1", "a": "2"}}}`, `c:1:33: /linux/sysctl/a: given twice`},
		{`{"annotations": {"a\nb": 1}}`, `c:1:26: /annotations/a\nb: cannot unmarshal a number where a string is expected`},
		{`{"mounts": {}}`, `c:1:12: /mounts: cannot unmarshal an object where an array is expected`},
		{`{"mounts": [{}`, `c:1:15: unexpected EOF where "," or "]" is expected`},
		{`{"mounts": [{},]}`, `c:1:16: unexpected "]" where a value is expected`},
		{`{"a": 01}`, `c:1:7: unexpected "0" where a value is expected`},
		{`{"a": 1.}`, `c:1:9: unexpected "}" where a digit is expected`},
		{`{"a" 1}`, `c:1:6: unexpected "1" where ":" is expected`},
		{`{a: 1}`, `c:1:2: unexpected "a" where a property name in quotes is expected`},
		{`{"a": tru}`, `c:1:7: unexpected "t" where true is expected`},
		{"{\"a\": \"b\nc\"}", `c:1:9: control character '\n' in a string`},
		{`{"hostname": "\x"}`, `c:1:16: invalid escape in a string`},
		{`{"hostname": "abc`, `c:1:18: unexpected EOF in a string`},
		{`{"x": ` + strings.Repeat("[", maxDepth) + `}`, `c:1:10006: nested more than 10000 deep`},
	} {
		_, err := Parse("c", []byte(test.text))
		if err == nil || err.Error() != test.want {
			t.Errorf("Parse(%.60q) = %v; want %v", test.text, err, test.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("good"), []byte(`{"ociVersion":"1.0.0"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("big"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path("big"), maxConfig+1); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path("good")); err != nil || c.Spec.Version != "1.0.0" || !strings.HasSuffix(string(c.Raw), "}\n") {
		t.Errorf("Load(good) = %+v, %v", c, err)
	}
	for _, test := range []struct{ name, want string }{
		{"config.json", "JSON specification file config.json not found: open " + path("config.json") + ": no such file or directory"},
		{"absent", "open " + path("absent") + ": no such file or directory"},
		{"fifo", "read " + path("fifo") + ": not a regular file"},
		{".", "read " + dir + ": is a directory"},
		{"big", "read " + path("big") + ": 16777217 bytes, more than the limit of 16777216"},
	} {
		if _, err := Load(path(test.name)); err == nil || err.Error() != test.want {
			t.Errorf("Load(%s) = %v; want %s", test.name, err, test.want)
		}
	}
	if _, err := Load(path("absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load(absent) = %v; want it to be fs.ErrNotExist", err)
	}
}

func TestDecode(t *testing.T) {
	var r specs.LinuxResources
	if err := Decode("-", []byte(`{"pids": {"limit": 5}}`), &r); err != nil || *r.Pids.Limit != 5 {
		t.Errorf("Decode(resources) = %+v, %v", r, err)
	}
	err := Decode("-", []byte(`{"pids": 5}`), &r)
	if want := `-:1:10: /pids: cannot unmarshal a number where an object is expected`; err == nil || err.Error() != want {
		t.Errorf("Decode(resources) = %v; want %s", err, want)
	}
}

// FuzzParse checks that an accepted text is JSON and survives a round trip.
func FuzzParse(f *testing.F) {
	// The seeds are short, because the fuzzer minimizes every interesting input.
	f.Add([]byte(`{"ociVersion": "1.0.0", "process": {"args": ["a\n\u00e9\ud83d"], "user": {"uid": 1}, "oomScoreAdj": -7}}`))
	f.Add([]byte(`{"x": [{"a": -1.5e+3}, null, true, false, "x"], "annotations": {"a": "b"}, "windows": {}}`))
	f.Add([]byte(`{"linux": {"resources": {"blockIO": {"weightDevice": [{"major": 8}]}}, "devices": [{"fileMode": 438}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Parse("c", raw)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("Parse(%q): an error of more than one line: %q", raw, err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Errorf("Parse(%q) accepts what is not JSON", raw)
		}
		once, err := json.Marshal(c.Spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("c", once)
		if err != nil {
			t.Fatalf("Parse(%s): %v", once, err)
		}
		if twice, _ := json.Marshal(again.Spec); string(twice) != string(once) {
			t.Errorf("%s became %s", once, twice)
		}
		// Validate must accept any values without a panic. Its error is one line.
		if err := Validate(c.Spec); err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("Validate(%s): an error of more than one line: %q", once, err)
		}
		_ = Warnings(c.Spec)
	})
}

// Reparse returns the same as Parse, without the system calls; Seccomp adds them.
func TestReparse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Parse(file, raw)
		if err != nil {
			t.Fatal(err)
		}
		brief, err := Reparse(file, raw)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := brief.Seccomp()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(brief.Spec.Linux.Seccomp.Syscalls); n != 0 {
			t.Errorf("%s: %d rules were decoded", file, n)
		}
		brief.Spec.Linux.Seccomp = profile
		if !reflect.DeepEqual(brief.Spec, whole.Spec) || !bytes.Equal(brief.SeccompRaw, whole.SeccompRaw) {
			t.Errorf("%s: Reparse is not Parse", file)
		}
	}
	for _, text := range []string{`{"linux":{"seccomp":{"syscalls":[`, `{"linux":{"seccomp":{"syscalls":["]`, `{"linux":{"seccomp":{"syscalls":1}}}`, `{"linux":{"seccomp":{"syscalls":["\\"]`} {
		if _, err := Reparse("c", []byte(text)); err == nil {
			t.Errorf("Reparse(%s) finds nothing wrong", text)
		}
	}
}

func BenchmarkReparse(b *testing.B) {
	raw, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Reparse("c", raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	raw, err := os.ReadFile("testdata/docker.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Parse("c", raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	c, err := Load("testdata/docker.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(c.Spec); err != nil {
			b.Fatal(err)
		}
	}
}
