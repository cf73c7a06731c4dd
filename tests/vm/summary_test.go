package vm

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// summary has a row for each run, in the order of guests().
type summary struct {
	sync.Mutex
	rows map[string]string
}

func (s *summary) add(g guest, r run, h heard, count tally) {
	s.Lock()
	defer s.Unlock()
	if s.rows == nil {
		s.rows = map[string]string{}
	}
	init := "systemd " + h.facts["systemd"]
	if slices.ContainsFunc(g.cmdline, func(word string) bool { return strings.HasPrefix(word, "init=") }) {
		init = "none"
	}
	s.rows[g.name+"/"+r.driver] = fmt.Sprintf("| %s | %s | %s | %s | %d | %d | %d | %v |\n", h.facts["kernel"], g.layout, init, r.driver,
		count.passed, count.failed, count.skipped, h.took[r.driver].Round(time.Second))
}

// render returns the table in Markdown.
func (s *summary) render() string {
	var b strings.Builder
	b.WriteString("| kernel | cgroups | init | driver | passed | failed | skipped | time |\n|---|---|---|---|---|---|---|---|\n")
	for _, g := range selected() {
		for _, r := range g.runs {
			b.WriteString(s.rows[g.name+"/"+r.driver])
		}
	}
	return b.String()
}

const (
	page      = "../../docs/cgroups.md"
	portsPage = "../../docs/porting.md"
)

// publish writes the table into the page, between its tags.
func publish(page, table string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	const begin, end = "<!-- table: tests/vm -->\n", "<!-- end of table -->\n"
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s has no place for the table: %s", page, begin)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644)
}
