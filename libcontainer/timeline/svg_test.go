package timeline

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// pictures are traces and their drawings. The first is from a real run of the
// default bundle and is shown in the documentation.
var pictures = map[string]string{
	"testdata/run.json":     "../../docs/trace.svg",
	"testdata/special.json": "testdata/special.svg",
}

func TestPictures(t *testing.T) {
	for from, to := range pictures {
		t.Run(from, func(t *testing.T) {
			got := draw(t, load(t, from))
			if *update {
				if err := os.WriteFile(to, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the picture is not %s any more: look at it, then go test -update", to)
			}
		})
	}
}

func load(t *testing.T, path string) *Trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func draw(t *testing.T, tr *Trace) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := tr.SVG(&out); err != nil {
		t.Fatal(err)
	}
	if err := isXML(out.Bytes()); err != nil {
		t.Errorf("the picture is not XML: %v", err)
	}
	return out.Bytes()
}

func isXML(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestPictureHasWhatCounts(t *testing.T) {
	got := string(draw(t, load(t, "testdata/special.json")))
	for _, want := range []string{
		"onggi run: 12.0 s",
		"/mounts/0: mount proc on /proc: no",                 // why it failed
		"nothing but waiting: 12.0 s",                        // is cut out
		"result: -1 ENOENT (no such file or directory)",      // a tooltip
		"&lt;rootfs&gt;, &quot;a &amp; b&quot;",              // and what is in it is no markup
		"Longest system calls of the container side",         //
		`400.2 µs</text>`,                                    // the longest of them
		"calls: read(&lt;start&gt;, &amp;, 1); execve(&quot", // of what was not timed
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	r := New("onggi test")
	s := r.Begin(Verb, "run")
	r.BeginStep(words("mount proc on /proc"), "/mounts/0").EndWith(errors.New("no"))
	at := r.Now()
	sent(r, 17, at, r.Now(), at, at, at+10)
	s.End()
	want := r.Trace()
	var file bytes.Buffer
	if _, err := want.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != len(want.Events) || len(got.Names) != len(want.Names) {
		t.Fatalf("read %d events and %d names; want %d and %d", len(got.Events), len(got.Names), len(want.Events), len(want.Names))
	}
	for i, e := range got.Events {
		if w := want.Events[i]; e.Name != w.Name || e.Begin != w.Begin || e.Length != w.Length || e.Args["field"] != w.Args["field"] {
			t.Errorf("event %d = %+v; want %+v", i, e, w)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":         {"", "not a trace"},
		"other text":      {"hello", "not a trace"},
		"no events":       {`{"traceEvents":[]}`, "no events"},
		"names only":      {`[{"ph":"M","name":"process_name","pid":1,"args":{"name":"x"}}]`, "no events"},
		"a number":        {"7", "not a trace"},
		"a huge time":     {`[{"ph":"X","name":"x","ts":1e300,"dur":1}]`, "out of range"},
		"a negative time": {`[{"ph":"X","name":"x","ts":1,"dur":-1}]`, "out of range"},
		"text as a time":  {`[{"ph":"X","name":"x","ts":"1","dur":1}]`, "not a trace"},
		"half a file":     {`{"traceEvents":[{"ph":"X","name":"x","ts":1,"dur":1},`, "not a trace"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read(%s) = %v; want %q", tt.text, err, tt.want)
			}
		})
	}
}

// Every readable file can be drawn as XML, and written again.
func FuzzRead(f *testing.F) {
	text, err := os.ReadFile("testdata/special.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`[{"ph":"X","name":"a\u0000\ud800\"<","ts":-3e13,"dur":3e13},{"ph":"X","ts":3e13},{"ph":"X","cat":"call","pid":2}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tr, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		draw(t, tr)
		if _, err := tr.WriteTo(io.Discard); err != nil {
			t.Error(err)
		}
	})
}
