package cgroup

import (
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SetOptions are the parameters of Set and Update beyond the limits.
type SetOptions struct {
	Devices  []specs.LinuxDeviceCgroup // rules appended to those of the resources: DefaultDevices for a container
	Rootless bool                      // leave out device rules that the kernel refuses with EPERM
	Warn     func(msg string)          // may be nil
	// Update calls Before after it has checked all limits and before it sets the
	// first one. Other managers of the limits, such as systemd, get them here. May
	// be nil.
	Before func() error
}

// Set writes the limits and the device rules of a new cgroup.
func (p Paths) Set(r *specs.LinuxResources, o SetOptions) error {
	a := applier{paths: p, warn: warner(o.Warn)}
	defer a.close()
	ws, err := a.plan(r)
	if err != nil {
		return err
	}
	if err := a.apply(ws); err != nil {
		return err
	}
	if _, err := a.setSockets(r); err != nil {
		return err
	}
	return a.setDevices(r, o)
}

// Update changes the limits of a cgroup in use, and its device rules if r has any.
// If the kernel refuses one, Update restores all old values.
func (p Paths) Update(r *specs.LinuxResources, o SetOptions) error {
	a := applier{paths: p, warn: warner(o.Warn)}
	defer a.close()
	ws, err := a.plan(r)
	if err != nil {
		return err
	}
	if r != nil && r.Devices != nil {
		if err := p.CheckDevices(append(r.Devices[:len(r.Devices):len(r.Devices)], o.Devices...)); err != nil {
			return err
		}
	}
	old := a.snapshot(ws)
	if o.Before != nil {
		if err := o.Before(); err != nil {
			return err
		}
	}
	var undo func() error
	if err = a.apply(ws); err == nil {
		undo, err = a.setSockets(r)
	}
	if err == nil && r != nil && r.Devices != nil {
		err = a.updateDevices(r, o)
	}
	if err == nil {
		return nil
	}
	if undo != nil {
		if failed := undo(); failed != nil {
			err = oneLine([]error{err, failed})
		}
	}
	if failed := a.restore(old); failed != nil {
		return fmt.Errorf("old limits are not all restored (%w): %w", failed, err)
	}
	return err
}

// write is one value for one file of a cgroup.
type write struct {
	field    string // JSON pointer into config.json
	dir      string // the cgroup, absolute; limits.add fills it in
	file     string
	value    string
	optional bool                    // a missing file is no error
	undo     func(old string) string // returns the value that restores the file's text old; nil: old itself
}

// batch is a set of writes that constrain each other (memory and memory+swap, quota
// and burst). The right order depends on the old values.
type batch []write

// view is the part of a controller's cgroup that planning needs.
type view struct {
	v2   bool
	has  func(file string) bool
	read func(file string) (string, error)
}

// resources is the JSON pointer of LinuxResources in config.json.
const resources = "/linux/resources"

// limits is the plan for LinuxResources: the writes, the errors and the warnings.
type limits struct {
	dir      string // of the current controller
	batches  []batch
	problems []error
	warnings []string
}

func (l *limits) add(ws ...write) {
	for i := range ws {
		ws[i].dir = l.dir
	}
	if len(ws) > 0 {
		l.batches = append(l.batches, ws)
	}
}

// refuse records a field that cannot be applied, with the reason.
func (l *limits) refuse(field, format string, args ...any) {
	l.problems = append(l.problems, fieldError(resources+field, format, args...))
}

func (l *limits) warn(field, text string) {
	l.warnings = append(l.warnings, resources+field+": "+text)
}

// kind is one controller's part of LinuxResources.
type kind struct {
	v1, v2 string // the controller's names; "" if an eBPF program does the work
	field  string // JSON pointer of the first field that is set
	plan   func(l *limits, v view)
	// optional: a host without the controller already is in the requested state.
	optional bool
}

// kinds lists the controllers that r sets, in the order of their writes.
func kinds(r *specs.LinuxResources) []kind {
	var ks []kind
	use := func(v1, v2, field string, plan func(l *limits, v view)) {
		if field != "" {
			ks = append(ks, kind{v1: v1, v2: v2, field: resources + field, plan: plan})
		}
	}
	if c := r.CPU; c != nil {
		use("cpuset", "cpuset", cpusetField(c), func(l *limits, v view) { l.cpuset(c, v) })
		use("cpu", "cpu", cpuField(c), func(l *limits, v view) { l.cpu(c, v) })
	}
	if m := r.Memory; m != nil {
		use("memory", "memory", memoryField(m), func(l *limits, v view) { l.memory(m, v) })
		if asItIs(m) {
			ks[len(ks)-1].optional = true
		}
	}
	if x := r.Pids; x != nil && x.Limit != nil {
		use("pids", "pids", "/pids/limit", func(l *limits, v view) { l.pids(*x.Limit) })
	}
	if b := r.BlockIO; b != nil {
		use("blkio", "io", blockIOField(b), func(l *limits, v view) { l.blockIO(b, v) })
	}
	if len(r.HugepageLimits) > 0 {
		use("hugetlb", "hugetlb", "/hugepageLimits/0", func(l *limits, v view) { l.hugepages(r.HugepageLimits, v) })
	}
	if n := r.Network; n != nil {
		use("net_cls", "", classIDField(n), func(l *limits, v view) { l.classID(*n.ClassID, v) })
		use("net_prio", "", prioritiesField(n), func(l *limits, v view) { l.priorities(n.Priorities, v) })
	}
	if len(r.Rdma) > 0 {
		use("rdma", "rdma", "/rdma", func(l *limits, v view) { l.rdma(r.Rdma) })
	}
	return ks
}

// needs lists the controllers that r needs from the cgroup2 hierarchy.
func (p Paths) needs(r *specs.LinuxResources) []need {
	if r == nil || p.Unified == nil {
		return nil
	}
	var ns []need
	for _, k := range kinds(r) {
		if d, ok := p.find(k.v1); ok && d.Controllers == nil && k.v2 != "" && !k.optional {
			ns = append(ns, need{k.v2, k.field})
		}
	}
	return append(ns, unifiedNeeds(r.Unified)...)
}

// applier is one run of Set or Update. It owns the open cgroups and programs.
type applier struct {
	paths       Paths
	warn        func(string)
	groups      map[string]group
	controllers []string // of the cgroup2 cgroup; nil until read
	programs    []int    // descriptors
}

func (a *applier) close() {
	for _, g := range a.groups {
		g.close()
	}
	for _, fd := range a.programs {
		unix.Close(fd)
	}
}

// group returns the open directory of an absolute path.
func (a *applier) group(dir string) (group, error) {
	if g, ok := a.groups[dir]; ok {
		return g, nil
	}
	g, err := openGroup(dir)
	if err != nil {
		return g, err
	}
	if a.groups == nil {
		a.groups = make(map[string]group)
	}
	a.groups[dir] = g
	return g, nil
}

// plan converts r to writes for this host. The error names every limit that cannot
// be applied.
func (a *applier) plan(r *specs.LinuxResources) ([]batch, error) {
	if r == nil {
		return nil, nil
	}
	var l limits
	for _, k := range kinds(r) {
		v, dir, err := a.view(k)
		if err != nil && k.optional {
			continue
		}
		if err != nil {
			l.problems = append(l.problems, err)
			continue
		}
		l.dir = dir
		k.plan(&l, v)
	}
	if len(r.Unified) > 0 {
		a.planUnified(&l, r.Unified)
	}
	for _, w := range l.warnings {
		a.warn(w)
	}
	return l.batches, oneLine(l.problems)
}

// view opens the cgroup that has controller k.
func (a *applier) view(k kind) (view, string, error) {
	d, ok := a.paths.find(k.v1)
	if a.paths.none() {
		return view{}, "", fieldError(k.field, "cannot set %s limit: container could not join or create cgroup: it has none", k.v1)
	}
	if !ok {
		return view{}, "", fieldError(k.field, "cannot set %s limit: container could not join or create cgroup: the controller is not mounted on this host", k.v1)
	}
	g, err := a.group(d.Abs())
	if err != nil {
		return view{}, "", err
	}
	v := view{v2: d.Controllers == nil, has: g.has, read: g.read}
	if !v.v2 {
		return v, g.path, nil
	}
	if k.v2 == "" {
		return v, g.path, nil // setSockets applies it by an eBPF program
	}
	return v, g.path, a.has(g, need{k.v2, k.field})
}

// has returns an error if the cgroup2 cgroup g lacks a controller.
func (a *applier) has(g group, n need) error {
	if a.controllers == nil {
		text, err := g.read("cgroup.controllers")
		if err != nil {
			return err
		}
		a.controllers = append([]string{}, strings.Fields(text)...)
	}
	if !contains(a.controllers, n.controller) {
		return noController(n, g.path, a.controllers)
	}
	return nil
}

// apply writes the batches in order.
func (a *applier) apply(bs []batch) error {
	for _, b := range bs {
		if err := a.applyBatch(b); err != nil {
			return err
		}
	}
	return nil
}

// restore writes the old values. It continues after an error.
func (a *applier) restore(old []batch) error {
	var errs []error
	for _, b := range old {
		err := a.applyBatch(b)
		if errors.Is(err, unix.ENOSPC) {
			err = a.fillCpuset(b)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return oneLine(errs)
}

// fillCpuset gives a cpuset the effective values of the cgroup above. An empty
// cpuset has these values too, but some kernels do not let a cpuset with processes
// become empty again (6.1 does not).
func (a *applier) fillCpuset(b batch) error {
	for i, w := range b {
		g, err := a.group(w.dir)
		if err != nil {
			return err
		}
		if b[i].value, err = g.read("../" + w.file + ".effective"); err != nil {
			return err
		}
	}
	return a.applyBatch(b)
}

// applyBatch writes a batch in an order that the kernel accepts. The kernel answers
// EINVAL to a value that conflicts with the present values of the others. applyBatch
// repeats such writes after the others, as long as each round has a success.
func (a *applier) applyBatch(b batch) error {
	for {
		var (
			left  batch
			first error
		)
		for _, w := range b {
			err := a.write(w)
			switch {
			case err == nil:
			case !errors.Is(err, unix.EINVAL):
				return err
			default:
				left = append(left, w)
				if first == nil {
					first = err
				}
			}
		}
		if len(left) == 0 || len(left) == len(b) {
			return first
		}
		b = left
	}
}

// write writes one value. Its error has the field and the probable cause.
func (a *applier) write(w write) error {
	g, err := a.group(w.dir)
	if err != nil {
		return err
	}
	err = g.write(w.file, w.value)
	if err == nil || w.optional && errors.Is(err, unix.ENOENT) {
		return nil
	}
	var fe *FileError
	if errors.As(err, &fe) {
		fe.Field, fe.Hint = w.field, w.hint(fe.Err, g)
	}
	return err
}

// snapshot returns the writes that restore the present values of the files in bs. It
// skips files that cannot be read.
func (a *applier) snapshot(bs []batch) []batch {
	old := make([]batch, 0, len(bs))
	for _, b := range bs {
		var undo batch
		for _, w := range b {
			g, err := a.group(w.dir)
			if err != nil {
				continue
			}
			text, err := g.read(w.file)
			if err != nil {
				continue
			}
			undo = append(undo, w.restoring(text))
		}
		if undo != nil {
			old = append(old, undo)
		}
	}
	return old
}

// restoring returns the write that restores the text old.
func (w write) restoring(old string) write {
	if w.undo != nil {
		old = w.undo(old)
	}
	if old == "" {
		old = "\n" // an empty write would not reach the file
	}
	w.value = old
	return w
}

// undoLine returns an undo function for a file that has one line for each key. It
// returns the key's old line. If there was none, it returns reset, which removes it.
func undoLine(key, reset string) func(string) string {
	return func(old string) string {
		for line := range strings.SplitSeq(old, "\n") {
			if strings.HasPrefix(line, key+" ") {
				return line
			}
		}
		return reset
	}
}

// oneLine joins errors by "; " instead of newlines.
func oneLine(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return &joined{errs}
}

type joined struct{ errs []error }

func (j *joined) Error() string {
	texts := make([]string, len(j.errs))
	for i, e := range j.errs {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

func (j *joined) Unwrap() []error { return j.errs }
