package tests

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// resourceRow is a line of the table in docs/resources.md.
type resourceRow struct{ field, v1, v2, property, flags, tests string }

func resourceRows(t *testing.T) map[string]resourceRow {
	t.Helper()
	data, err := os.ReadFile("../docs/resources.md")
	if os.IsNotExist(err) {
		t.Skip("the sources are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]resourceRow{}
	for line := range strings.Lines(string(data)) {
		c := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(c) != 6 || !strings.HasPrefix(strings.TrimSpace(c[0]), "`") {
			continue
		}
		for i := range c {
			c[i] = strings.TrimSpace(c[i])
		}
		field := strings.Trim(c[0], "`")
		rows[field] = resourceRow{field, c[1], c[2], c[3], c[4], c[5]}
	}
	return rows
}

// fieldsOf are the fields of linux.resources as config.json calls them: "memory.limit".
func fieldsOf(t reflect.Type, prefix string) []string {
	var all []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct {
			all = append(all, fieldsOf(f.Type.Elem(), prefix+name+".")...)
		} else {
			all = append(all, prefix+name)
		}
	}
	return all
}

// TestResourcesPage compares the table of docs/resources.md with the specification, the flags of update, and the tests.
func TestResourcesPage(t *testing.T) {
	peersLack(t, "the page is about onggi")
	rows := resourceRows(t)
	for _, field := range fieldsOf(reflect.TypeFor[specs.LinuxResources](), "") {
		if _, ok := rows[field]; !ok {
			t.Errorf("no row for %s", field)
		}
	}
	named := map[string]bool{}
	for _, f := range resourceFields(t) {
		row, ok := rows[f.field]
		if !ok {
			t.Errorf("no row for %s, the field of %q", f.field, f.name)
			continue
		}
		row.holds(t, f)
		named[f.field+": "+f.name] = true
	}
	flags := updateFlags(t)
	for _, row := range rows {
		row.testsExist(t, named)
		for _, flag := range strings.Fields(strings.NewReplacer(",", " ", "`", " ").Replace(row.flags)) {
			if !flags[flag] && !strings.HasPrefix(flag, "--kernel-memory") { // hidden flags, as in runc
				t.Errorf("%s: update has no flag %s", row.field, flag)
			}
			delete(flags, flag)
		}
	}
	for _, flag := range []string{"--resources", "--help", "--l3-cache-schema", "--mem-bw-schema"} {
		delete(flags, flag)
	}
	if len(flags) > 0 {
		t.Errorf("flags of update in no row: %v", flags)
	}
}

// holds compares a row with a case of its field.
func (r resourceRow) holds(t *testing.T, f resourceField) {
	t.Helper()
	says := func(column, cell, text string) {
		t.Helper()
		if !strings.Contains(cell, text) {
			t.Errorf("%s: the column %s says %q; the test %q has %q", r.field, column, cell, f.name, text)
		}
	}
	if !slices.Contains(strings.Split(r.tests, "; "), f.name) {
		says("test", r.tests, f.name)
	}
	for column, c := range map[string]struct {
		cell string
		side side
	}{"v1": {r.v1, f.v1}, "v2": {r.v2, f.v2}} {
		switch {
		case c.side.refusal != "":
			says(column, c.cell, "error")
		case c.side.warning != "":
			says(column, c.cell, "warning")
		case c.side.program:
			says(column, c.cell, "eBPF program")
		case r.field != "unified":
			says(column, c.cell, strings.Replace(c.side.file, ".2MB.", ".SIZE.", 1))
		}
	}
	if r.field != "unified" {
		says("systemd", r.property, f.property.name)
	}
}

// testsExist checks the row's last column: each name in it is a case of the field or a test.
func (r resourceRow) testsExist(t *testing.T, named map[string]bool) {
	t.Helper()
	if r.tests == "" {
		t.Errorf("%s: no test", r.field)
	}
	for _, name := range strings.Split(r.tests, "; ") {
		if named[r.field+": "+name] {
			continue
		}
		if err := testExists(name); err != nil {
			t.Errorf("%s: %v", r.field, err)
		}
	}
}

// updateFlags returns the long flags that the help of update lists.
func updateFlags(t *testing.T) map[string]bool {
	t.Helper()
	c := &container{t: t, bundle: "/", ownRoot: true}
	flags := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z0-9-]+)`).FindAllStringSubmatch(c.must("update", "--help").out, -1) {
		flags[m[1]] = true
	}
	return flags
}
