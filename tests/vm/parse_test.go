package vm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree prints a node as name=verdict(subtests).
func (n *node) tree() string {
	var subs []string
	for _, sub := range n.subs {
		subs = append(subs, sub.tree())
	}
	text := n.name + "=" + n.verdict
	if subs != nil {
		text += "(" + strings.Join(subs, " ") + ")"
	}
	return text
}

// TestParse: parse turns the output of the serial port into the tree of tests in the guest. The input has names with
// slashes and lines of containers in between, and it ends in the middle of a test.
func TestParse(t *testing.T) {
	const mark = "\x16"
	root, err := parse([]byte(strings.Join([]string{
		mark + "=== RUN   TestA", mark + "=== RUN   TestA/block_I/O", "    a_test.go:7: words", "more words", mark + "--- FAIL: TestA/block_I/O (0.10s)",
		mark + "=== RUN   TestA/with_sub", mark + "=== RUN   TestA/with_sub/../x", mark + "--- PASS: TestA/with_sub/../x (0.00s)", mark + "--- PASS: TestA/with_sub (0.00s)",
		mark + "=== NAME  TestA", mark + "--- FAIL: TestA (0.20s)",
		mark + "=== RUN   TestB", "    b_test.go:1: no such thing here", mark + "--- SKIP: TestB (0.00s)",
		mark + "=== RUN   TestC", "last words", "",
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	const want = "=(TestA=fail(block_I/O=fail with_sub=pass(../x=pass)) TestB=skip TestC=)"
	if got := root.tree(); got != want {
		t.Fatalf("parse = %s; want %s", got, want)
	}
	if got := root.subs[0].subs[0].words(); got != "a_test.go:7: words\nmore words" {
		t.Errorf("words of the failed test = %q", got)
	}
	if got := root.subs[1].reason(); got != "no such thing here" {
		t.Errorf("reason of the skipped test = %q", got)
	}
	if got := root.subs[2].words(); got != "last words" {
		t.Errorf("words of the test that did not end = %q", got)
	}
}

func TestListen(t *testing.T) {
	h := newHeard("")
	h.listen(strings.NewReader("noise\n@guest fact kernel 6.1\n@guest fact systemd \n@guest begin one\na\nb\n@guest end one 1\nnoise\n@guest begin two\nc"))
	if h.facts["kernel"] != "6.1" || string(h.runs["one"]) != "a\nb\n" || h.status["one"] != "1" || string(h.runs["two"]) != "c" || h.status["two"] != "" {
		t.Errorf("listen = %+v", h)
	}
}

func TestKernelThatIsNone(t *testing.T) {
	bz := make([]byte, 0x1000)
	copy(bz[0x202:], "HdrS")
	for text, data := range map[string]string{
		"not a bzImage": "short", "not in the file": string(bz[:0x250]), "unknown compression": string(bz[:0x24c]) + "\x10" + string(bz[0x24d:]),
	} {
		path := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := extractKernel(path, path+".elf"); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("extractKernel = %v; want %q", err, text)
		}
	}
}

// TestLimitOfEachTest: a test program that hangs or fails in one test runs the others, and the status says so.
func TestLimitOfEachTest(t *testing.T) {
	const program = `#!/bin/sh
case "$*" in
*-test.list=*) printf 'TestA\nTestB\nTestC\nTestSkipped\nok\n' ;;
*'^TestB$'*) echo "B fails"; exit 1 ;;
*) echo "$*" ;;
esac
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "test"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	for status, tests := range map[string]string{"0": "TestSkipped|TestB", "1": "TestSkipped"} {
		cmd := exec.Command("sh", "-c", run{tests: []string{"Test"}, skip: []string{tests}, limit: time.Minute}.command()+"\necho $?")
		cmd.Dir = dir
		out, err := cmd.Output()
		want := "-test.v=test2json -test.timeout=1m0s -test.run=^TestA$\nB fails\n-test.v=test2json -test.timeout=1m0s -test.run=^TestC$\n" + status + "\n"
		if status == "0" {
			want = strings.Replace(want, "B fails\n", "", 1)
		}
		if err != nil || string(out) != want {
			t.Errorf("without %s: %v\n%swant\n%s", tests, err, out, want)
		}
	}
}
