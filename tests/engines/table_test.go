package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// column is the results of one sandbox.
type column struct {
	System  string // the distribution
	Runtime string // name and version
	Cells   []cell
	Timings []timing
	// Outcomes are by the order of failures.
	Outcomes []outcome
	// Kubernetes says that the cells belong on the page of Kubernetes.
	Kubernetes bool
	Specs      []spec
}

// spec is a case of critest.
type spec struct {
	Name string
	OK   bool
}

type cell struct {
	Engine, Case string
	OK           bool
	Shim         bool // with onggi's own shim
}

// timing is the time that an engine takes with a runtime.
type timing struct {
	Engine, Kind string
	Median       time.Duration
}

// collector gathers the column of this sandbox.
type collector struct {
	sync.Mutex
	column
}

var report collector

func (c *collector) add(e engine, name string, ok bool) {
	c.Lock()
	defer c.Unlock()
	c.Cells = append(c.Cells, cell{e.title(), name, ok, e.shim})
}

func (c *collector) spec(name string, ok bool) {
	c.Lock()
	defer c.Unlock()
	c.Specs = append(c.Specs, spec{name, ok})
}

func (c *collector) time(engine, kind string, took []time.Duration) {
	slices.Sort(took)
	c.Lock()
	defer c.Unlock()
	c.Timings = append(c.Timings, timing{engine, kind, took[len(took)/2]})
}

func (c *collector) write(dir string) error {
	data, err := json.Marshal(c.column)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "column.json"), data, 0o644)
}

// table has the columns of all runtimes, and their timings.
type table struct {
	Columns []column
	Timings []timing
}

// read adds the report of a sandbox: timings of all runtimes, or cases of one.
func (t *table) read(dir string, timed bool) error {
	data, err := os.ReadFile(filepath.Join(dir, "column.json"))
	if err != nil {
		return err
	}
	var c column
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	if timed {
		t.Timings = c.Timings
	} else {
		t.Columns = append(t.Columns, c)
	}
	return nil
}

// render returns the table in Markdown: one row for each case, in the order of the first column's run.
func (t *table) render() string {
	var b strings.Builder
	head, rule := "| engine | case |", "|---|---|"
	for _, c := range t.Columns {
		head += " " + c.Runtime + " |"
		rule += "---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, rule)
	for _, row := range t.Columns[0].Cells {
		if row.Shim {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |", row.Engine, row.Case)
		for _, c := range t.Columns {
			fmt.Fprintf(&b, " %s |", c.verdict(row))
		}
		b.WriteString("\n")
	}
	return t.shimmed(b.String() + t.specified() + t.timed())
}

// specified is the rows of critest: how many specs pass, and those that fail with a runtime.
func (t *table) specified() string {
	if len(t.Columns[0].Specs) == 0 {
		return ""
	}
	var counts, failed strings.Builder
	fmt.Fprintf(&counts, "| critest | specs that pass |")
	for _, c := range t.Columns {
		passed := 0
		for _, s := range c.Specs {
			if s.OK {
				passed++
			}
		}
		fmt.Fprintf(&counts, " %d of %d |", passed, len(c.Specs))
	}
	for _, row := range slices.SortedFunc(slices.Values(t.Columns[0].Specs), func(a, b spec) int { return strings.Compare(a.Name, b.Name) }) {
		line, all := fmt.Sprintf("| critest | %s |", row.Name), true
		for _, c := range t.Columns {
			ok := slices.Contains(c.Specs, spec{row.Name, true})
			line += map[bool]string{true: " yes |", false: " **no** |"}[ok]
			all = all && ok
		}
		if !all {
			failed.WriteString(line + "\n")
		}
	}
	return counts.String() + "\n" + failed.String()
}

// shimHeading is the heading of the column of onggi's own shim.
const shimHeading = "onggi's own shim"

// shimmed returns a table with a column for onggi's own shim. It replaces that of an earlier run.
func (t *table) shimmed(old string) string {
	if !slices.ContainsFunc(t.Columns[0].Cells, func(c cell) bool { return c.Shim }) {
		return old
	}
	var b strings.Builder
	wide := strings.Contains(old, shimHeading)
	for line := range strings.Lines(strings.TrimSpace(old)) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if wide {
			fields = fields[:len(fields)-1]
		}
		last := " "
		switch engine, name := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1]); {
		case engine == "engine":
			last = " " + shimHeading + " "
		case engine == "---":
			last = "---"
		default:
			if verdict := t.Columns[0].verdict(cell{Engine: engine, Case: name, Shim: true}); verdict != notRun {
				last = " " + verdict + " "
			}
		}
		fmt.Fprintf(&b, "|%s|%s|\n", strings.Join(fields, "|"), last)
	}
	return b.String()
}

// timedCase is the name of the case in the rows of timings.
const timedCase = "`run` of `true`, start to end"

// timed is the rows of timings.
func (t *table) timed() string {
	var b strings.Builder
	last := ""
	for _, row := range t.Timings {
		if row.Engine == last {
			continue
		}
		last = row.Engine
		fmt.Fprintf(&b, "| %s | %s |", row.Engine, timedCase)
		for _, c := range t.Columns {
			fmt.Fprintf(&b, " %s |", t.median(row.Engine, c.Runtime))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// merged returns the table with the rows of an old one for engines that this run leaves out. A table of other runtimes keeps
// only its times.
func (t *table) merged(old string) string {
	head, rows := headed(t.render())
	oldHead, oldRows := headed(old)
	if head != oldHead {
		return t.render() + t.untimed(old)
	}
	fresh := make(map[string]string)
	for _, row := range rows {
		fresh[engineOf(row)] += row
	}
	var front, rest strings.Builder
	for _, row := range oldRows {
		text, again := fresh[engineOf(row)]
		if !again {
			text = row
		}
		rest.WriteString(text)
		if again {
			fresh[engineOf(row)] = "" // its first row stands for all
		}
	}
	known := func(row string) bool {
		return slices.ContainsFunc(oldRows, func(old string) bool { return engineOf(old) == engineOf(row) })
	}
	for _, row := range rows {
		if !known(row) {
			front.WriteString(row)
		}
	}
	return head + front.String() + rest.String()
}

// headed splits a table into its two first lines and the others.
func headed(text string) (head string, rows []string) {
	lines := slices.Collect(strings.Lines(strings.TrimSpace(text) + "\n"))
	at := min(2, len(lines))
	return strings.Join(lines[:at], ""), lines[at:]
}

// engineOf is the engine of a row, without its version. The times are rows of their own.
func engineOf(row string) string {
	engine, name, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
	engine = strings.TrimSpace(number.ReplaceAllString(engine, ""))
	if strings.HasPrefix(name, timedCase) {
		engine += ": " + timedCase
	}
	return engine
}

func TestMerged(t *testing.T) {
	const (
		head  = "| engine | case | onggi 1 | runc 1 |\n|---|---|---|---|\n"
		other = "| podman 4.3 | run | yes | yes |\n"
		times = "| docker 20.10 | " + timedCase + " | 1 ms | 2 ms |\n"
		old   = head + "| docker 20.10 | run | **no** | yes |\n| docker 20.10 | gone | yes | yes |\n" + other + times
	)
	cells := func(engines ...string) (cells []cell) {
		for _, engine := range engines {
			cells = append(cells, cell{Engine: engine, Case: "run", OK: true})
		}
		return cells
	}
	run := func(runtime string, engines ...string) *table {
		return &table{Columns: []column{{Runtime: runtime, Cells: cells(engines...)}, {Runtime: "runc 1", Cells: cells(engines...)}}}
	}
	for _, test := range []struct {
		name string
		run  *table
		want string
	}{
		{"one engine again", run("onggi 1", "docker 28.5"), head + "| docker 28.5 | run | yes | yes |\n" + other + times},
		{"one engine more", run("onggi 1", "swarm 28.5"), head + "| swarm 28.5 | run | yes | yes |\n" + strings.TrimPrefix(old, head)},
		{"another runtime", run("onggi 2", "docker 28.5"), strings.Replace(head, "onggi 1", "onggi 2", 1) + "| docker 28.5 | run | yes | yes |\n" + times},
	} {
		if got := test.run.merged("\n" + old + "\n"); got != test.want {
			t.Errorf("%s: merged(old) =\n%s; want\n%s", test.name, got, test.want)
		}
	}
}

// untimed returns the rows of timings of an old table, if this run has measured none.
func (t *table) untimed(old string) string {
	var b strings.Builder
	for line := range strings.Lines(old) {
		if len(t.Timings) == 0 && strings.Contains(line, timedCase) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// retimed returns a table with new rows of timings.
func (t *table) retimed(old string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(old)) {
		if !strings.Contains(line, timedCase) {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String() + t.timed()
}

func (c column) verdict(row cell) string {
	for _, own := range c.Cells {
		switch {
		case own.Engine != row.Engine || own.Case != row.Case || own.Shim != row.Shim:
		case own.OK:
			return "yes"
		default:
			return "**no**"
		}
	}
	return notRun
}

const notRun = "not run"

func (t *table) median(engine, runtime string) string {
	for _, own := range t.Timings {
		if own.Engine == engine && strings.HasPrefix(runtime, own.Kind+" ") {
			return fmt.Sprintf("%d ms", own.Median.Milliseconds())
		}
	}
	return notRun
}

const (
	page     = "../../docs/engines/README.md"
	tableEnd = "<!-- end of table -->\n"
)

// publish puts the tables into the pages, between the tags of their system.
func (t *table) publish() error {
	if t.Columns[0].Kubernetes {
		return rewrite("../../docs/engines/"+crioPage, "<!-- table: kubernetes -->\n", func(old string) string { return "\n" + t.merged(old) + "\n" })
	}
	system := t.Columns[0].System
	err := rewrite(page, fmt.Sprintf("<!-- table: %s -->\n", system), func(old string) string {
		switch {
		case slices.ContainsFunc(t.Columns[0].Cells, func(c cell) bool { return !c.Shim }):
			return "\n" + t.merged(old) + "\n"
		case len(t.Columns[0].Cells) > 0: // -run TestEngines/shim
			return "\n" + t.shimmed(old) + "\n"
		case len(t.Timings) > 0: // -run TestTimings
			return "\n" + t.retimed(old) + "\n"
		}
		return old
	})
	if err != nil || t.Columns[0].Outcomes == nil {
		return err
	}
	return rewrite("../../docs/engines/"+statusPage, statusBegin(system), func(old string) string { return "\n" + t.statusTable(old) + "\n" })
}

// rewrite replaces the text of a page between a tag and the end of its table.
func rewrite(page, begin string, change func(old string) string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), begin)
	old, after, ended := strings.Cut(rest, tableEnd)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for the table: %s", page, begin)
	}
	return os.WriteFile(page, []byte(before+begin+change(old)+tableEnd+after), 0o644)
}
