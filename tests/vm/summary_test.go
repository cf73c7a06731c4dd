package vm

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
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
	s.rows[g.name+"/"+r.driver] = g.row(r, h, count)
}

func (g guest) row(r run, h heard, count tally) string {
	took := h.took[r.driver].Round(time.Second)
	if g.on.goarch != amd64.goarch {
		return fmt.Sprintf("| %s | %s, pages of %s | %s | guest `%s` | %d | %d | %d | %v |\n", g.on.goarch, h.facts["kernel"], kib(h.facts["page"]),
			r.driver, g.name, count.passed, count.failed, count.skipped, took)
	}
	init := "systemd " + h.facts["systemd"]
	if slices.ContainsFunc(g.cmdline, func(word string) bool { return strings.HasPrefix(word, "init=") }) {
		init = "none"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %d | %d | %d | %v |\n", h.facts["kernel"], g.layout, init, r.driver,
		count.passed, count.failed, count.skipped, took)
}

// kib returns a number of bytes in KiB.
func kib(bytes string) string {
	n, err := strconv.Atoi(bytes)
	if err != nil {
		return "unknown size"
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// render returns the table in Markdown.
func (s *summary) render() string {
	var b strings.Builder
	if *others {
		b.WriteString("| architecture | kernel | tests | how | passed | failed | skipped | time |\n")
	} else {
		b.WriteString("| kernel | cgroups | init | driver | passed | failed | skipped | time |\n")
	}
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, g := range selected() {
		for _, r := range g.runs {
			b.WriteString(s.rows[g.name+"/"+r.driver])
		}
	}
	return b.String()
}

// keep adds the page's rows of the guests that did not run.
func (s *summary) keep(page string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if s.rows == nil {
		s.rows = map[string]string{}
	}
	for _, g := range selected() {
		for _, r := range g.runs {
			row := regexp.MustCompile(`(?m)^.*\| ` + r.driver + " \\| guest `" + g.name + "` \\|.*\n").FindString(string(data))
			if name := g.name + "/" + r.driver; s.rows[name] == "" && row != "" {
				s.rows[name] = row
			}
		}
	}
	return nil
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
