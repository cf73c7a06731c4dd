package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// ownShim is containerd with onggi's shim. The figures of the other competitors are compared with it.
const ownShim = "onggi's shim"

// ShimResult is the output of tests/shim/bench.
type ShimResult struct {
	Containerd            string
	Competitors           []string
	LoadBefore, LoadAfter float64
	Rows                  []ShimRow
}

// ShimRow has the samples of one figure. X is the number of pods.
type ShimRow struct {
	Name    string
	X       int
	Samples map[string][]float64
}

// shimBench measures containerd with onggi's shim and with others, and publishes the figures.
func shimBench() error {
	dir, err := os.MkdirTemp("", "onggi-bench-shim-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench")
	if out, err := exec.Command("go", "-C", "tests/shim", "build", "-o", program, "./bench").CombinedOutput(); err != nil {
		return fmt.Errorf("tests/shim/bench: %w: %s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env, cmd.Stderr = os.Environ(), os.Stderr
	for _, c := range []struct{ key, otherwise string }{
		{"ONGGI", "onggi"}, {"SHIM", "containerd-shim-onggi-v1"}, {"CRUN", "crun"}, {"RUNC", "runc"},
	} {
		path, err := findProgram(setting(c.key, c.otherwise))
		if err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, c.key+"="+path)
	}
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var r ShimResult
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	return r.publish(setting("BENCH_OUT", published))
}

// findProgram returns the absolute path of a program: in the tree, or on the PATH.
func findProgram(name string) (string, error) {
	if name == "none" {
		return name, nil
	}
	if _, err := os.Stat(name); err == nil {
		return filepath.Abs(name)
	}
	return exec.LookPath(name)
}

// publish writes the table and the pictures.
func (r *ShimResult) publish(dir string) error {
	var err error
	for name, picture := range map[string]string{"shim-memory": r.memoryPlot(), "shim-exec": r.bars()} {
		if picture != "" {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, name+".svg"), []byte(picture), 0o644))
		}
	}
	table := r.table()
	if dir != published {
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "shim.md"), []byte(table), 0o644))
	}
	return errors.Join(err, rewrite(dir+".md", map[string]string{"shim": table}))
}

// shimFigures are the rows of the table.
var shimFigures = []struct {
	title, name, metric string
}{
	{"exec probe (ExecSync of `true`)", "exec wall", "wall"},
	{"the same, processor time of shim and runtime", "exec cpu", "cpu"},
	{"the same, processor time of containerd", "exec containerd", "cpu"},
	{"`ctr run --rm` of `true`", "run wall", "wall"},
	{"pods started, 8 at once", "pods", "rate"},
}

func (r *ShimResult) table() string {
	headings := []string{""}
	for _, c := range r.Competitors {
		headings = append(headings, c+":")
	}
	for _, c := range r.Competitors[1:] {
		headings = append(headings, "of "+c+":")
	}
	t := newTable(headings...)
	fill := func(title string, value func(competitor string) float64, text func(float64) string) {
		cells, others := []string{title}, []string{}
		own := value(ownShim)
		for _, c := range r.Competitors {
			cells = append(cells, text(value(c)))
			if c != ownShim {
				others = append(others, fmt.Sprintf("%.2f", own/value(c)))
			}
		}
		t.row(append(cells, others...)...)
	}
	for _, f := range shimFigures {
		if samples := r.find(f.name, 0); samples != nil {
			fill(f.title, func(c string) float64 { return summarize(samples[c]).median }, func(v float64) string { return figure([]float64{v}, f.metric) })
		}
	}
	memory := func(v float64) string { return figure([]float64{v}, "memory") }
	pods := r.pods()
	for _, n := range pods {
		fill(fmt.Sprintf("memory of all shims (PSS), pods: %d", n), func(c string) float64 { return summarize(r.find("pss", n)[c]).median }, memory)
	}
	if len(pods) > 1 {
		for _, f := range []struct{ title, name string }{{"memory of each further pod's shim (PSS)", "pss"}, {"private memory of each further pod's shim", "private"}} {
			fill(f.title, func(c string) float64 { return r.further(f.name, c) }, memory)
		}
	}
	return fmt.Sprintf("%s. %s, cgroup v1. Medians. Processes ready to run on the machine: %.1f before, %.1f after the run.\n\n%s",
		machine(), r.Containerd, r.LoadBefore, r.LoadAfter, t.String())
}

func (r *ShimResult) find(name string, x int) map[string][]float64 {
	for _, row := range r.Rows {
		if row.Name == name && row.X == x {
			return row.Samples
		}
	}
	return nil
}

// pods returns the numbers of pods for which memory was measured.
func (r *ShimResult) pods() []int {
	var all []int
	for _, row := range r.Rows {
		if row.Name == "pss" {
			all = append(all, row.X)
		}
	}
	slices.Sort(all)
	return all
}

// further returns the memory of each pod between the second number of pods and the last.
func (r *ShimResult) further(name, competitor string) float64 {
	pods := r.pods()
	from, to := pods[len(pods)-2], pods[len(pods)-1]
	value := func(x int) float64 { return summarize(r.find(name, x)[competitor]).median }
	return (value(to) - value(from)) / float64(to-from)
}

// shimClass is the name of a competitor for the style of a picture.
func shimClass(name string) string {
	if name == ownShim {
		return "shim"
	}
	return name
}

// memoryPlot draws the memory of all shims by the number of pods.
func (r *ShimResult) memoryPlot() string {
	c := Curve{Name: "shim-memory", Title: "memory of all shims (PSS)", Axis: "pods, each with one container", Per: "pod", Unit: "MiB"}
	for _, n := range r.pods() {
		for name, samples := range r.find("pss", n) {
			c.add(n, shimClass(name), summarize(samples).median/1024)
		}
	}
	if len(c.Points) == 0 {
		return ""
	}
	var order []Competitor
	for _, name := range r.Competitors {
		order = append(order, Competitor{Name: shimClass(name)})
	}
	return Plot(c, order)
}

// bars draws the time of an exec probe, and its processor time.
func (r *ShimResult) bars() string {
	var result Result
	for _, name := range r.Competitors {
		result.Competitors = append(result.Competitors, Competitor{Name: shimClass(name)})
	}
	var c canvas
	c.y += heading
	c.text(8, "title", "an exec probe: ExecSync of true")
	c.y += between
	for _, f := range shimFigures[:2] {
		key := Key{Name: f.metric, Bundle: "exec", Metric: f.metric}
		longest := 0.0
		for name, samples := range r.find(f.name, 0) {
			result.add(key, shimClass(name), samples...)
			longest = max(longest, summarize(samples).median*headroom)
		}
		if longest == 0 {
			return ""
		}
		c.row(result, key, longest)
	}
	const label = "time of an exec probe"
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="%s">`+"\n",
		width, c.y+between, html.EscapeString(label)) + style + c.body.String() + "</svg>\n"
}
