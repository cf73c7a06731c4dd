package engines

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// column is what one runtime did.
type column struct {
	Version string
	Cells   []cell
	Timings []timing
}

type cell struct {
	Engine, Case string
	OK           bool
}

type timing struct {
	Engine string
	Median time.Duration
}

// collector gathers the column of this sandbox.
type collector struct {
	sync.Mutex
	column
}

var report collector

func (c *collector) add(engine, name string, ok bool) {
	c.Lock()
	defer c.Unlock()
	c.Cells = append(c.Cells, cell{engine, name, ok})
}

func (c *collector) time(engine string, took []time.Duration) {
	slices.Sort(took)
	c.Lock()
	defer c.Unlock()
	c.Timings = append(c.Timings, timing{engine, took[len(took)/2]})
}

func (c *collector) write(dir string) error {
	data, err := json.Marshal(c.column)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "column.json"), data, 0o644)
}

func readColumn(dir string) (column, error) {
	var c column
	data, err := os.ReadFile(filepath.Join(dir, "column.json"))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(data, &c)
}

// render is the table in Markdown: a row a case, in the order of the first column's run.
func render(columns []column) string {
	var b strings.Builder
	head, rule := "| engine | case |", "|---|---|"
	for _, c := range columns {
		head += " " + strings.Replace(c.Version, " version", "", 1) + " |"
		rule += "---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, rule)
	for _, row := range columns[0].Cells {
		fmt.Fprintf(&b, "| %s | %s |", row.Engine, row.Case)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.verdict(row))
		}
		b.WriteString("\n")
	}
	for _, row := range columns[0].Timings {
		fmt.Fprintf(&b, "| %s | run of `true`, start to end, median of 10 |", row.Engine)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.median(row.Engine))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (c column) verdict(row cell) string {
	for _, own := range c.Cells {
		switch {
		case own.Engine != row.Engine || own.Case != row.Case:
		case own.OK:
			return "yes"
		default:
			return "**no**"
		}
	}
	return "not run"
}

func (c column) median(engine string) string {
	for _, own := range c.Timings {
		if own.Engine == engine {
			return fmt.Sprintf("%d ms", own.Median.Milliseconds())
		}
	}
	return "not run"
}

const (
	page     = "../../docs/engines/README.md"
	beginTag = "<!-- table: written by `RUNTIME=onggi,runc,crun go test ./tests/engines -update` -->\n"
	endTag   = "<!-- end of table -->\n"
)

// replaceTable puts the table between its tags.
func replaceTable(table string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), beginTag)
	if !ok {
		return errors.New(page + " has no place for the table")
	}
	_, after, ok := strings.Cut(rest, endTag)
	if !ok {
		return errors.New(page + " does not say where the table ends")
	}
	return os.WriteFile(page, []byte(before+beginTag+table+endTag+after), 0o644)
}
