package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tablePage lists each requirement of the specification with the tests that check it.
const tablePage = "../docs/conformance.md"

// demand matches the words of RFC 2119 that express a requirement.
var demand = regexp.MustCompile(`\b(MUST|SHOULD|SHALL)\b`)

// row is a line of one of the page's tables.
type row struct {
	document string
	lines    []int
	ours     bool // in a table of the runtime's own requirements
	words    string
	where    string
	tests    string
}

func (r row) String() string { return fmt.Sprintf("%s %v", r.document, r.lines) }

// readTable parses the page's tables. A requirement for the runtime has six columns, one for other programs has two.
func readTable(t *testing.T, page string) []row {
	t.Helper()
	var rows []row
	document := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			document = name
		}
		inner, ok := strings.CutPrefix(line, "|")
		if !ok || !strings.ContainsAny(inner[:min(2, len(inner))], "0123456789") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := row{document: document, lines: lineNumbers(t, cells[0])}
		switch len(cells) {
		case 6:
			r.ours, r.words, r.where, r.tests = true, cells[1], cells[3], cells[4]
		case 2:
		default:
			t.Errorf("%d columns: %s", len(cells), line)
		}
		rows = append(rows, r)
	}
	return rows
}

// lineNumbers parses "17, 20-22".
func lineNumbers(t *testing.T, list string) []int {
	t.Helper()
	var numbers []int
	for _, part := range strings.Split(list, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		for n := atoi(t, from); n <= atoi(t, to); n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// documents returns the lines of the specification with a requirement, by file and number.
func documents(t *testing.T) map[string]map[int]string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[int]string{}
	for _, name := range []string{"bundle", "config", "config-linux", "runtime", "runtime-linux", "features", "features-linux"} {
		data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		lines := map[int]string{}
		for i, text := range strings.Split(string(data), "\n") {
			if demand.MatchString(text) {
				lines[i+1] = text
			}
		}
		all[name+".md"] = lines
	}
	return all
}

// TestConformanceTable checks the claims of docs/conformance.md.
func TestConformanceTable(t *testing.T) {
	peersLack(t, "the page is about onggi")
	data, err := os.ReadFile(tablePage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	rows := readTable(t, page)
	spec := documents(t)
	cited := map[string]map[int]bool{}
	for _, r := range rows {
		if cited[r.document] == nil {
			cited[r.document] = map[int]bool{}
		}
		for _, n := range r.lines {
			if spec[r.document][n] == "" {
				t.Errorf("%s line %d demands nothing", r.document, n)
			}
			cited[r.document][n] = true
		}
		if r.ours {
			checkRow(t, r, spec[r.document])
		}
	}
	total := 0
	for name, lines := range spec {
		total += len(lines)
		for n, text := range lines {
			if !cited[name][n] {
				t.Errorf("%s line %d is in no table: %s", name, n, strings.TrimSpace(text))
			}
		}
	}
	mine := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !r.ours })
	without := slices.DeleteFunc(slices.Clone(mine), func(r row) bool { return r.tests != "not yet" })
	counts := fmt.Sprintf("<!-- counts -->%d lines, %d rows, %d without a test.", total, len(mine), len(without))
	if !strings.Contains(page, counts) {
		t.Errorf("the page does not say %q", counts)
	}
}

// checkRow checks that the row has the words of its lines, and that its files and tests exist.
func checkRow(t *testing.T, r row, lines map[int]string) {
	t.Helper()
	var text strings.Builder
	for _, n := range r.lines {
		text.WriteString(strings.ReplaceAll(lines[n], "**", "") + "\n")
	}
	for _, word := range strings.Split(r.words, ", ") {
		if !strings.Contains(text.String(), word) {
			t.Errorf("%v: no %q there", r, word)
		}
	}
	files := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(r.where, -1)
	if len(files) == 0 {
		t.Errorf("%v: no file", r)
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join("..", f[1])); err != nil {
			t.Errorf("%v: %v", r, err)
		}
	}
	if r.tests == "not yet" {
		return
	}
	for _, name := range strings.Split(r.tests, ", ") {
		if err := testExists(name); err != nil {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// testExists finds TestX, package.TestX or suite:program.
func testExists(name string) error {
	if program, ok := strings.CutPrefix(name, "suite:"); ok {
		return contains("conformance/go.mod", "/validation/"+program+"\n")
	}
	dirs := []string{"."}
	if pkg, test, ok := strings.Cut(name, "."); ok {
		name = test
		dirs = []string{"../" + pkg, "../libcontainer/internal/" + pkg}
	}
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		for _, file := range files {
			if contains(file, "\nfunc "+name+"(") == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("there is no test %s in %s", name, strings.Join(dirs, " or "))
}

func contains(file, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), text) {
		return fmt.Errorf("%s has no %s", file, strconv.Quote(text))
	}
	return nil
}
