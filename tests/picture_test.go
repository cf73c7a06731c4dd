package tests

import (
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "record docs/top.svg anew")

// The paths of the picture and of tmux's capture of the terminal, with escape sequences.
const (
	pictureFile = "../docs/top.svg"
	captureFile = "testdata/top.txt"
)

// TestTopPicture checks that the picture is the capture of a terminal, converted to SVG by the function svg alone. To
// record it again:
//
//	go test ./tests -run TestTopPicture -update
func TestTopPicture(t *testing.T) {
	peersLack(t, "has no top")
	if *update {
		if err := os.WriteFile(captureFile, []byte(recordTop(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	capture, err := os.ReadFile(captureFile)
	if os.IsNotExist(err) {
		t.Skip("the sources are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	picture, err := svg(string(capture), "onggi top: a table of containers with processor time, memory, processes, block I/O and pressure")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(pictureFile, []byte(picture), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(pictureFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != picture {
		t.Errorf("%s is not the picture of %s", pictureFile, captureFile)
	}
}

// recordTop runs busy containers, and top on a terminal for some seconds.
func recordTop(t *testing.T) string {
	t.Helper()
	needCgroupfs(t)
	c := newContainer(t)
	above := c.cgroup
	t.Cleanup(func() {
		for _, h := range hierarchies() {
			removeCgroup(filepath.Join(h.mountpoint, above))
		}
	})
	const loop = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
	for _, busy := range []struct{ name, line, limits string }{
		{"web", "while :; do " + loop + "; sleep 0.1; done", `{"memory":{"limit":67108864},"pids":{"limit":100}}`},
		{"database", "while :; do dd if=/dev/zero of=/data bs=1M count=16 conv=fsync; cat /data > /dev/null; sleep 0.2; done 2>/dev/null", `{"memory":{"limit":536870912},"pids":{"limit":500}}`},
		{"build", "while :; do " + loop + "; done & while :; do " + loop + "; done", `{"cpu":{"quota":60000,"period":100000},"memory":{"limit":268435456}}`},
		{"cache", "x=0123456789abcdef; while [ ${#x} -lt 16777216 ]; do x=$x$x; done; while :; do sleep 1000; done", `{"memory":{"limit":100663296}}`},
		{"night-shift", "sleep 1000", `{}`},
	} {
		c.edit(resourcesJSON(t, busy.limits), sh(busy.line), func(s *specs.Spec) { s.Linux.CgroupsPath = filepath.Join(above, busy.name) })
		c.must("create", "--bundle", c.bundle, busy.name)
		t.Cleanup(func() { c.verb("delete", "--force", busy.name) })
		c.must("start", busy.name)
	}
	c.must("pause", "night-shift")
	s := newScreen(t, fmt.Sprintf("%s --root %s top", env.runtime, c.root))
	s.tmux("resize-window", "-x", "84", "-y", "8")
	s.shown("night-shift", "paused")
	time.Sleep(12 * time.Second) // pressure is an average of ten
	capture := s.tmux("capture-pane", "-e", "-p")
	s.typed("q")
	return capture
}

// Geometry of a cell, in pixels.
const (
	cellWidth  = 8.4
	cellHeight = 19
	margin     = 12
)

const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="%[3]s">
<style>
text { font: 14px ui-monospace, "DejaVu Sans Mono", monospace; fill: #24292f }
.screen { fill: #f6f8fa; stroke: #8c959f }
.bar { fill: #24292f }
.turned { fill: #f6f8fa }
@media (prefers-color-scheme: dark) {
	text { fill: #e6edf3 } .screen { fill: #1c2128; stroke: #6e7681 }
	.bar { fill: #e6edf3 } .turned { fill: #1c2128 }
}
</style>
<rect x="0.5" y="0.5" width="%[4]d" height="%[5]d" rx="6" class="screen"/>
`

// svg draws the contents of a terminal. It knows only the styles that top uses: reversed or not.
func svg(capture, label string) (string, error) {
	lines := strings.Split(strings.TrimRight(capture, "\n"), "\n")
	columns := 0
	for _, line := range lines {
		columns = max(columns, utf8.RuneCountInString(escapes.ReplaceAllString(line, "")))
	}
	width, height := int(float64(columns)*cellWidth)+2*margin, len(lines)*cellHeight+2*margin
	var b strings.Builder
	fmt.Fprintf(&b, svgHead, width, height, html.EscapeString(label), width-1, height-1)
	for row, line := range lines {
		if err := svgLine(&b, row, columns, line); err != nil {
			return "", err
		}
	}
	return b.String() + "</svg>\n", nil
}

// escapes are the sequences that set colours and styles (ECMA-48, SGR).
var escapes = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

// svgLine puts each word at its column, whatever font a reader has.
func svgLine(b *strings.Builder, row, columns int, line string) error {
	class := ""
	for _, m := range escapes.FindAllStringSubmatchIndex(line, -1) {
		switch style := line[m[2]:m[3]]; {
		case style == "7" && m[0] == 0:
			class = ` class="turned"`
			fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" class="bar"/>`+"\n", margin, margin+row*cellHeight, float64(columns)*cellWidth, cellHeight)
		case !slices.Contains([]string{"", "0", "39", "49"}, style): // back to normal
			return fmt.Errorf("line %d: no picture of style %s", row+1, style)
		}
	}
	text := []rune(escapes.ReplaceAllString(line, ""))
	for at := 0; at < len(text); at++ {
		if text[at] == ' ' {
			continue
		}
		end := at
		for end < len(text) && text[end] != ' ' {
			end++
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n",
			margin+float64(at)*cellWidth, margin+row*cellHeight+14, float64(end-at)*cellWidth, class, html.EscapeString(string(text[at:end])))
		at = end
	}
	return nil
}

func TestSVG(t *testing.T) {
	picture, err := svg("a <b>\n\x1b[7mC   D\x1b[0m\n", "x & y")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`width="66" height="62"`, `aria-label="x &amp; y"`,
		`<text x="12.0" y="26" textLength="8.4">a</text>`, `<text x="28.8" y="26" textLength="25.2">&lt;b&gt;</text>`,
		`<rect x="12" y="31" width="42.0" height="19" class="bar"/>`, `<text x="45.6" y="45" textLength="8.4" class="turned">D</text>`,
	} {
		if !strings.Contains(picture, text) {
			t.Errorf("no %s in %s", text, picture)
		}
	}
	if _, err := svg("\x1b[31mred\n", ""); err == nil {
		t.Error("colours are lost without a word")
	}
}
