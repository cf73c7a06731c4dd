package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
	"github.com/onggi-dev/onggi/libcontainer/internal/systemd"
	"github.com/onggi-dev/onggi/specconv"
)

// With the systemd cgroup manager, the container's cgroup is the cgroup of a scope.
// systemd makes a scope around an existing process. So the first process starts in the
// runtime's cgroup, and systemd moves it before it gets its first batch.

// scope is the systemd unit of a container that is being created.
type scope struct {
	manager *systemd.Manager
	unit    systemd.Unit
	version int
	given   []systemd.Property // properties from annotations
	sub     string             // path of the container's cgroup below the unit's; "" if they are the same
	started bool
}

// place returns the paths of the container's cgroup, which may not exist yet. The scope
// is nil unless systemd manages the cgroups. The caller closes it.
func (r *Runtime) place(ctx context.Context, spec *specs.Spec, id string) (cgroup.Paths, *scope, error) {
	host, err := cgroup.Detect()
	if err != nil {
		return cgroup.Paths{}, nil, err
	}
	path := ""
	if spec.Linux != nil {
		path = spec.Linux.CgroupsPath
	}
	var s *scope
	if r.options.CgroupManager == cgroupSystemd {
		if s, path, err = findScope(ctx, spec, path, id, r.rootless); err != nil {
			return cgroup.Paths{}, nil, err
		}
	}
	paths, err := cgroup.Resolve(host, path, id, r.rootless)
	if err != nil {
		s.close()
		return cgroup.Paths{}, nil, &Failure{Field: "/linux/cgroupsPath", Err: err}
	}
	return paths, s, nil
}

// findScope asks systemd for the path of the unit's cgroup, which may not exist yet.
func findScope(ctx context.Context, spec *specs.Spec, cgroupsPath, id string, user bool) (*scope, string, error) {
	s := &scope{sub: spec.Annotations[specconv.SystemdSubgroup]}
	var err error
	if s.unit, err = systemd.ParsePath(cgroupsPath, id, user); err != nil {
		return nil, "", &Failure{Field: "/linux/cgroupsPath", Err: err}
	}
	if s.given, err = systemd.Annotations(spec.Annotations); err != nil {
		return nil, "", err
	}
	if s.manager, err = systemd.Open(ctx, user); err != nil {
		return nil, "", err
	}
	path, err := s.ask(ctx)
	if err != nil {
		s.close()
		return nil, "", err
	}
	return s, path, nil
}

func (s *scope) ask(ctx context.Context) (cgroupsPath string, err error) {
	if s.version, err = s.manager.Version(ctx); err != nil {
		return "", err
	}
	root, err := s.manager.Root(ctx)
	if err != nil {
		return "", err
	}
	dir, err := s.unit.Cgroup(root)
	return path.Join(dir, s.sub), err
}

func (s *scope) close() {
	if s != nil {
		s.manager.Close()
	}
}

// intend records the objects that an undo has to remove. systemd itself removes slices of cgroup2,
// and a scope that is not the container's own cgroup.
func (c *creation) intend() {
	u := c.paths.Unified
	missing := c.paths.Missing()
	for _, dir := range missing {
		slice := c.scope != nil && u != nil && dir != u.Abs() && strings.HasPrefix(dir, u.Mountpoint+"/")
		if !slice {
			c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.CgroupDir, Name: dir})
		}
	}
	if c.scope == nil { // systemd makes the directories around a scope
		c.missing = missing
	}
	if c.scope != nil {
		c.record.Intents = append(c.record.Intents, state.Intent{Kind: state.Scope, Name: c.scope.unit.Name})
	}
}

// intendAgain renews the intents after an attempt that has made none of the cgroups.
func (c *creation) intendAgain() {
	c.record.Intents = slices.DeleteFunc(c.record.Intents, func(i state.Intent) bool { return i.Kind == state.CgroupDir })
	c.intend()
	c.intendSub()
}

// noteCgroup records the place of the cgroup.
func (c *creation) noteCgroup() {
	c.record.Cgroup = recordCgroup(c.options.CgroupManager, c.paths)
	if c.scope != nil {
		c.record.Cgroup.Scope = c.scope.unit.Name
	}
}

// startScope puts the first process into its unit. engine.Job.Spawned calls it for each
// new process of the stub. A child of the first one is in the unit from birth.
func (c *creation) startScope(ctx context.Context, pid int) error {
	s := c.scope
	if s.started {
		return nil
	}
	v2 := c.paths.V1 == nil
	r := c.resources()
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := c.paths.CheckDevices(append(r.Devices[:len(r.Devices):len(r.Devices)], cgroup.DefaultDevices()...)); err != nil {
		return err
	}
	limits, err := scopeLimits(r, r.Devices, v2, s.version, c.rootless)
	if err != nil {
		return err
	}
	// Between the start of the unit and our mark on its cgroup, a delete knows the
	// process only by this record.
	if err := c.nameProcess(ctx, pid); err != nil {
		return err
	}
	properties := append(systemd.Scope(s.unit, c.id, pid, v2), limits...)
	if err := s.manager.Start(ctx, s.unit.Name, systemd.Override(properties, s.given)); err != nil {
		return &Failure{Field: "/linux/cgroupsPath", Step: "make the scope", Err: err}
	}
	s.started = true
	if s.sub != "" {
		if err := c.paths.Occupy(pid); err != nil {
			return cgroupFailure(err)
		}
	}
	// We make the hierarchies and controllers that systemd leaves alone.
	if err := c.createCgroup(); err != nil {
		return err
	}
	if err := s.weights(ctx, r, c.paths); err != nil {
		return err
	}
	if s.unit.IsSlice() { // systemd puts no process into a slice
		return c.paths.Join(pid)
	}
	return nil
}

// weights corrects systemd's block I/O weights if the kernel uses those of BFQ. That is
// visible only in an existing cgroup.
func (s *scope) weights(ctx context.Context, r *specs.LinuxResources, p cgroup.Paths) error {
	if r.BlockIO == nil || !p.BFQ() {
		return nil
	}
	w := slices.DeleteFunc(systemd.Weights(r.BlockIO, "/sys"), func(w systemd.Property) bool {
		return slices.ContainsFunc(s.given, func(p systemd.Property) bool { return p.Name == w.Name })
	})
	if err := s.manager.Set(ctx, s.unit.Name, w); err != nil {
		return &Failure{Field: "/linux/resources/blockIO", Step: "set the weights of the scope", Err: err}
	}
	return nil
}

// scopeLimits returns limits and device rules as properties of the unit. A user's
// systemd cannot enforce device rules.
func scopeLimits(r *specs.LinuxResources, devices []specs.LinuxDeviceCgroup, v2 bool, version int, user bool) ([]systemd.Property, error) {
	limits := systemd.Limits(r, v2, version)
	if user {
		return limits, nil
	}
	groups, err := os.ReadFile("/proc/devices")
	if err != nil {
		return nil, err
	}
	rules, err := systemd.Devices(append(devices[:len(devices):len(devices)], cgroup.DefaultDevices()...), string(groups))
	return append(limits, rules...), err
}

// stop stops the unit after a failed create. Its processes have ended already.
func (s *scope) stop(ctx context.Context) error {
	if s == nil || !s.started {
		return nil
	}
	return s.manager.Stop(ctx, s.unit.Name)
}

// stopScope makes systemd stop and forget the unit.
func stopScope(ctx context.Context, unit string, user bool) error {
	m, err := systemd.Open(ctx, user)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Stop(ctx, unit)
}

// updateScope runs update and makes systemd keep the same limits. update calls the
// function before once: after it has checked all limits, and before it sets the first
// one. r has the changed limits, old the limits so far, and now the limits after the
// change. If update fails, systemd gets the old limits again.
func (c *Container) updateScope(ctx context.Context, old, now, r *specs.LinuxResources, update func(before func() error) error) error {
	if c.record.Cgroup.Scope == "" {
		return update(nil)
	}
	m, err := systemd.Open(ctx, c.record.Rootless)
	if err != nil {
		return err
	}
	defer m.Close()
	version, err := m.Version(ctx)
	if err != nil {
		return err
	}
	// Device rules are set only if they change: systemd takes all of them back for
	// a moment when it sets them.
	devices := len(r.Devices) > 0 && !c.record.Rootless
	bfq := c.cgroups().BFQ()
	properties := func(all *specs.LinuxResources) ([]systemd.Property, error) {
		limits, err := scopeLimits(all, all.Devices, c.record.Cgroup.V1 == nil, version, !devices)
		if bfq {
			limits = systemd.Override(limits, systemd.Weights(all.BlockIO, "/sys"))
		}
		return limits, err
	}
	after, err := properties(now)
	if err != nil {
		return err
	}
	told := false
	err = update(func() error {
		told = true
		return c.whileFrozen(ctx, devices, func() error { return m.Set(ctx, c.record.Cgroup.Scope, after) })
	})
	if err == nil || !told {
		return err
	}
	before, failed := properties(old)
	if failed == nil {
		failed = c.restoreScope(ctx, devices, systemd.Undo(after, before))
	}
	if failed != nil {
		return fmt.Errorf("systemd did not take back all old limits (%w): %w", failed, err)
	}
	return err
}

// restoreScope sets properties again, on a new connection: after a deadline or the end
// of ctx, the connection of the update is unusable. Each call has a deadline of its
// own.
func (c *Container) restoreScope(ctx context.Context, devices bool, properties []systemd.Property) error {
	ctx = context.WithoutCancel(ctx)
	m, err := systemd.Open(ctx, c.record.Rootless)
	if err != nil {
		return err
	}
	defer m.Close()
	return c.whileFrozen(ctx, devices, func() error { return m.Set(ctx, c.record.Cgroup.Scope, properties) })
}

// whileFrozen runs f. If f changes v1 device rules, the processes are frozen meanwhile:
// systemd denies everything before it allows anything.
func (c *Container) whileFrozen(ctx context.Context, devices bool, f func() error) error {
	if !devices || c.record.Cgroup.V1 == nil {
		return f()
	}
	if frozen, err := c.cgroups().Frozen(); err != nil || frozen {
		return errors.Join(err, f())
	}
	if err := c.cgroups().Freeze(ctx); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, c.cgroups().Thaw(context.WithoutCancel(ctx)))
}
