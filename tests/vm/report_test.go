package vm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// event is a line of test2json (go doc test2json).
type event struct {
	Action, Test, Output string
}

// node is a test that ran in a guest, with its subtests.
type node struct {
	name    string
	verdict string // pass, fail, skip; empty for an unfinished test
	output  []string
	subs    []*node
}

// parse builds the tree of tests from a run's output. The root is the run itself.
func parse(output []byte) (*node, error) {
	cmd := exec.Command("go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(output)
	lines, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("test2json: %w", err)
	}
	root := &node{}
	known := map[string]*node{"": root}
	for decoder := json.NewDecoder(bytes.NewReader(lines)); decoder.More(); {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return nil, fmt.Errorf("test2json: %w", err)
		}
		n := find(known, e.Test)
		switch e.Action {
		case "output":
			n.output = append(n.output, e.Output)
		case "pass", "fail", "skip":
			n.verdict = e.Action
		}
	}
	return root, nil
}

// find returns the node of a test's full name. It puts a new node below the longest known name: the output mentions a
// parent before its subtests, and a name may contain slashes.
func find(known map[string]*node, name string) *node {
	if n := known[name]; n != nil {
		return n
	}
	above := name
	for known[above] == nil {
		above = above[:max(0, strings.LastIndexByte(above, '/'))]
	}
	n := &node{name: strings.TrimPrefix(strings.TrimPrefix(name, above), "/")}
	known[name] = n
	known[above].subs = append(known[above].subs, n)
	return n
}

// report makes a subtest of each test in the guest, with its verdict and, unless it passed, its log.
func (n *node) report(t *testing.T, count *tally) {
	t.Run(n.name, func(t *testing.T) {
		for _, sub := range n.subs {
			sub.report(t, count)
		}
		switch n.verdict {
		case "pass":
			count.passed++
		case "skip":
			count.skipped++
			t.Skip(n.reason())
		case "fail":
			count.failed++
			t.Error(n.words())
		default:
			count.failed++
			t.Errorf("the guest did not get to the end of this test\n%s", n.words())
		}
	})
}

// words returns the log of the test without the lines of the testing package.
func (n *node) words() string {
	var b strings.Builder
	for _, line := range n.output {
		if s := strings.TrimSpace(line); !strings.HasPrefix(s, "=== ") && !strings.HasPrefix(s, "--- ") {
			b.WriteString(line)
		}
	}
	return strings.TrimSpace(b.String())
}

// reason returns the reason of a skipped test, without its place in the source.
func (n *node) reason() string {
	words := n.words()
	if _, text, ok := strings.Cut(words, ".go:"); ok {
		if _, text, ok = strings.Cut(text, ": "); ok {
			return text
		}
	}
	return words
}

// tally counts the tests of a run.
type tally struct {
	passed, failed, skipped int
}
