package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// suite is the module that go.mod pins.
const suite = "github.com/opencontainers/runtime-tools"

// tally is the run's summary.
type tally struct {
	sync.Mutex
	programs, exact, differing int
	points, unasked            int
}

var score tally

func (s *tally) String() string {
	return fmt.Sprintf("conformance: %d programs of %s: %d without a difference, %d with differences; %d points passed, %d not asked for by the configuration",
		s.programs, suite, s.exact, s.differing, s.points, s.unasked)
}

func (s *tally) add(output tap, findings []string) {
	s.Lock()
	defer s.Unlock()
	s.programs++
	if len(findings) == 0 {
		s.exact++
	} else {
		s.differing++
	}
	passed, notAsked := output.count()
	s.points += passed
	s.unasked += notAsked
}

// TestProgramsAreListed compares the suite's programs with the tools of go.mod, so that a new program is not forgotten.
func TestProgramsAreListed(t *testing.T) {
	var want []string
	for _, p := range goList(t, "-f", "{{.Name}} {{.ImportPath}}", suite+"/validation/...") {
		if name, ok := strings.CutPrefix(p, "main "); ok {
			want = append(want, path.Base(name))
		}
	}
	slices.Sort(want)
	if got := programs(t); !slices.Equal(got, want) {
		t.Errorf("go.mod builds %q; want %q", got, want)
	}
	for _, d := range known {
		if !slices.Contains(want, d.program) {
			t.Errorf("a difference is known of %s, which the suite does not have", d.program)
		}
	}
}

// TestReasonsNameTests checks that each test that a reason names exists.
func TestReasonsNameTests(t *testing.T) {
	var there strings.Builder
	files, err := filepath.Glob("../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there.Write(data)
	}
	for _, d := range known {
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(d.reason, -1) {
			if !strings.Contains(there.String(), "\nfunc "+name+"(t ") {
				t.Errorf("the reason for %s names %s, which does not exist", d.program, name)
			}
		}
	}
}

func programs(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, p := range goList(t, "tool") {
		if name := path.Base(p); name != "runtimetest" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestPrograms runs all programs.
func TestPrograms(t *testing.T) {
	for _, program := range programs(t) {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			o := runInRoom(t, program)
			output := parseTAP(o.stdout)
			findings := output.findings()
			if o.Status != 0 {
				findings = append(findings, fmt.Sprintf("exit status %d: %s", o.Status, strings.ReplaceAll(o.stderr, "\n", " ")))
			}
			score.add(output, findings)
			compare(t, program, findings)
			for _, left := range o.Left {
				t.Errorf("leak: %s", left)
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", o.stdout, o.stderr)
			}
		})
	}
}

// compare compares findings with known differences, in both directions.
func compare(t *testing.T, program string, findings []string) {
	t.Helper()
	seen := make([]bool, len(known))
	for _, f := range findings {
		i := slices.IndexFunc(known, func(d difference) bool { return d.program == program && d.applies() && strings.Contains(f, d.says) })
		if i < 0 {
			t.Errorf("not known: %s", f)
			continue
		}
		seen[i] = true
		t.Logf("%s: %s", f, known[i].reason)
	}
	for i, d := range known {
		if d.program == program && d.applies() && !seen[i] && !d.sometimes {
			t.Errorf("no longer seen, to be taken from the table: %s", d.says)
		}
	}
}
