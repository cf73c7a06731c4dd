package plan

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// subject is a plan and its inputs.
type subject struct {
	plan       *Plan
	spec       *specs.Spec // its process is the one that the plan starts
	host       Host
	exec, hook bool // an exec, a createContainer hook; neither: the first process
}

// A law is one condition that every plan fulfils.
type law struct {
	name string
	hold func(*subject) error
}

// laws are the conditions of a correct order. All tests check their plans against
// them, FuzzCreate included.
var laws = []law{
	{"the stub is spawned first, and hardened before anything else", spawnedFirst},
	{"there is one new session, of the last process, before its terminal", oneSession},
	{"the program is the last step", programLast},
	{"there is one gate in create, and none elsewhere", oneGate},
	{"nothing privileged comes after the credentials", credentialsLast},
	{"hooks run in the order of runtime.md, before the root changes", hooksInOrder},
	{"masks and read-only paths come after the hooks and before the root changes", masksBeforePivot},
	{"sysctls are written before anything is read-only", sysctlsEarly},
	{"a joined pid namespace is entered last, by a clone", cloneIntoLast},
	{"a filter is loaded early only where it has to be", seccompLate},
	{"a field of an item is in the configuration", fieldsExist},
	{"the user namespace comes alone and first", userNamespaceFirst},
	{"what a joined mount namespace would undo comes after it", rootfsAfterJoin},
	{"cgroups are joined before namespaces", cgroupsFirst},
	{"mounts come in the order of the configuration", mountsInOrder},
	{"a place in a mount of the plan is one name in an uncovered mount", placesHold},
	{"what is asked to be read-only is, at the end", readonlyAtTheEnd},
	{"nothing is mounted before propagation is cut", propagationFirst},
	{"nothing of the host's is open at the program", filesClosed},
	{"each step prints as one line", oneLineEach},
}

func obeys(t testing.TB, s *subject) {
	t.Helper()
	broken := false
	for _, l := range laws {
		if err := l.hold(s); err != nil {
			t.Errorf("law broken: %s: %v", l.name, err)
			broken = true
		}
	}
	if broken {
		t.Logf("in\n%s", s.plan)
	}
}

// places returns the indices of all steps of type T.
func places[T Step](s *subject) []int {
	var out []int
	for i, it := range s.plan.Items {
		if _, ok := it.Step.(T); ok {
			out = append(out, i)
		}
	}
	return out
}

// first returns the index of the first step of type T, or -1; last, of the last.
func first[T Step](s *subject) int {
	if at := places[T](s); len(at) > 0 {
		return at[0]
	}
	return -1
}

func last[T Step](s *subject) int {
	if at := places[T](s); len(at) > 0 {
		return at[len(at)-1]
	}
	return -1
}

// before requires the last T, if any, before the first U, if any.
func before[T, U Step](s *subject) error {
	if a, b := last[T](s), first[U](s); a >= 0 && b >= 0 && a > b {
		return fmt.Errorf("step %d, %s, comes after step %d, %s", a+1, s.plan.Items[a].Step, b+1, s.plan.Items[b].Step)
	}
	return nil
}

func count[T Step](s *subject, want int) error {
	if n := len(places[T](s)); n != want {
		var t T
		return fmt.Errorf("%d steps %s; want %d", n, Name(t), want)
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func has(s *subject, typ specs.LinuxNamespaceType, path func(string) bool) bool {
	return s.spec.Linux != nil && slices.ContainsFunc(s.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == typ && path(n.Path) })
}

func anyPath(string) bool  { return true }
func isNew(p string) bool  { return p == "" }
func joined(p string) bool { return p != "" }

// oneSession requires Session after Fork: a forked child does not lead the session
// of its parent.
func oneSession(s *subject) error {
	return firstOf(count[Session](s, 1), before[Fork, Session](s), before[Session, Terminal](s), before[Session, Gate](s))
}

func spawnedFirst(s *subject) error {
	items := s.plan.Items
	if _, ok := items[0].Step.(Spawn); !ok {
		return fmt.Errorf("the first step is %s", items[0].Step)
	}
	if _, ok := items[1].Step.(Harden); !ok {
		return fmt.Errorf("the second step is %s", items[1].Step)
	}
	if late, want := items[1].Step.(Harden).MapsFirst, s.host.Rootless && !s.exec && has(s, specs.UserNamespace, isNew); late != want {
		return fmt.Errorf("it is undumpable only behind the id maps: %v; want %v", late, want)
	}
	return firstOf(count[Spawn](s, 1), count[Harden](s, 1))
}

func programLast(s *subject) error {
	if at := first[Execute](s); at != len(s.plan.Items)-1 {
		return fmt.Errorf("it is step %d of %d", at+1, len(s.plan.Items))
	}
	return nil
}

func oneGate(s *subject) error {
	if s.exec || s.hook {
		return count[Gate](s, 0)
	}
	return count[Gate](s, 1)
}

// behindCredentials are the steps that may follow Identity. They need no
// privilege, or the runtime side takes them, or they drop the last privilege.
var behindCredentials = []string{"Capabilities", "FindProgram", "CloseFiles", "Rlimits", "Seccomp", "CloneInto", "Gate", "Execute"}

func credentialsLast(s *subject) error {
	if s.hook {
		return nil // a hook keeps the runtime's credentials, as runtime.md requires
	}
	identity := first[Identity](s)
	for i, it := range s.plan.Items[identity+1:] {
		if !slices.Contains(behindCredentials, Name(it.Step)) {
			return fmt.Errorf("step %d, %s, comes after the user's ids", identity+i+2, it.Step)
		}
	}
	return firstOf(count[Identity](s, 1), before[BoundingSet, Identity](s), before[Identity, Capabilities](s), before[Capabilities, FindProgram](s), finalCapabilities(s))
}

// finalCapabilities requires that the last step that sets capabilities leaves
// exactly those that the configuration grants.
func finalCapabilities(s *subject) error {
	var have *Capabilities
	for _, it := range s.plan.Items {
		switch step := it.Step.(type) {
		case Capabilities:
			have = &step
		case Seccomp:
			if step.Then != nil {
				have = step.Then
			}
		}
	}
	c := s.spec.Process.Capabilities
	if c == nil {
		if have != nil && *have != (Capabilities{}) {
			return fmt.Errorf("a user without capabilities ends with %s", have)
		}
		return nil
	}
	if have == nil {
		return fmt.Errorf("no step sets them")
	}
	permitted, _ := specconv.CapabilityMask(c.Permitted)
	inheritable, _ := specconv.CapabilityMask(c.Inheritable)
	permitted, inheritable = permitted&s.host.Capabilities, inheritable&s.host.Capabilities
	switch {
	case have.Permitted != permitted || have.Inheritable != inheritable:
		return fmt.Errorf("the last step is %s; want permitted %016x, inheritable %016x", have, permitted, inheritable)
	case have.Effective&^have.Permitted != 0 || have.Ambient&^(have.Permitted&have.Inheritable) != 0:
		return fmt.Errorf("the kernel refuses %s", have)
	}
	return nil
}

func hooksInOrder(s *subject) error {
	var kinds []string
	for _, i := range places[Hooks](s) {
		kinds = append(kinds, s.plan.Items[i].Step.(Hooks).Kind)
	}
	want := []string{}
	if h := s.spec.Hooks; h != nil && !s.exec && !s.hook {
		for _, k := range []struct {
			name string
			list []specs.Hook
		}{{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer}} { //nolint:staticcheck // prestart is deprecated, but still planned
			if len(k.list) > 0 {
				want = append(want, k.name)
			}
		}
	}
	if !slices.Equal(kinds, want) {
		return fmt.Errorf("they are %q; want %q", kinds, want)
	}
	return firstOf(
		before[Unshare, Hooks](s), before[Mount, Hooks](s), before[Device, Hooks](s),
		before[Hooks, Pivot](s), before[Hooks, ChangeRoot](s))
}

func masksBeforePivot(s *subject) error {
	return firstOf(
		before[Hooks, Masks](s), before[Hooks, Readonly](s), before[Readonly, Masks](s), before[Mount, Masks](s),
		before[Masks, Pivot](s), before[Readonly, Pivot](s), before[Masks, ChangeRoot](s))
}

func sysctlsEarly(s *subject) error {
	return firstOf(before[Sysctl, Readonly](s), before[Sysctl, Pivot](s), before[Sysctl, ChangeRoot](s), before[Mount, Sysctl](s))
}

func cloneIntoLast(s *subject) error {
	want := 0
	if has(s, specs.PIDNamespace, joined) || (s.exec || s.hook) && has(s, specs.PIDNamespace, anyPath) || s.hook {
		want = 1
	}
	if err := count[CloneInto](s, want); err != nil || want == 0 {
		return err
	}
	at := first[CloneInto](s)
	for i, it := range s.plan.Items {
		switch step := it.Step.(type) {
		case Identity, Capabilities, BoundingSet, NoNewPrivs:
			if i > at {
				return fmt.Errorf("the clone comes before %s", it.Step)
			}
		case Seccomp:
			if i > at && step.Then != nil {
				return fmt.Errorf("the clone has CAP_SYS_ADMIN until %s", it.Step)
			}
		}
	}
	return nil
}

func seccompLate(s *subject) error {
	filter := s.spec.Linux != nil && s.spec.Linux.Seccomp != nil && !s.hook
	if !filter {
		return count[Seccomp](s, 0)
	}
	if err := count[Seccomp](s, 1); err != nil {
		return err
	}
	at := first[Seccomp](s)
	step := s.plan.Items[at].Step.(Seccomp)
	privileged := !s.spec.Process.NoNewPrivileges
	if early, want := at < len(s.plan.Items)-2, privileged || step.Listener; early && !want {
		return fmt.Errorf("it is step %d of %d", at+1, len(s.plan.Items))
	}
	if privileged && s.spec.Process.Capabilities != nil {
		caps := s.plan.Items[last[Capabilities](s)].Step.(Capabilities)
		if caps.Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
			return fmt.Errorf("loading it takes CAP_SYS_ADMIN, which %s has not", caps)
		}
		if step.Then == nil {
			return fmt.Errorf("CAP_SYS_ADMIN stays behind it")
		}
	}
	return firstOf(before[NoNewPrivs, Seccomp](s), before[Capabilities, Seccomp](s), before[CloseFiles, Seccomp](s), listenerBeforeGate(s, at, step))
}

// listenerBeforeGate requires the filter before the gate if it has a listener:
// create hands the listener over, and nothing after the gate could.
func listenerBeforeGate(s *subject, at int, step Seccomp) error {
	gate := max(first[Gate](s), first[CloneInto](s))
	if step.Listener && gate >= 0 && at > gate {
		return fmt.Errorf("the listener comes behind the gate")
	}
	return nil
}

func fieldsExist(s *subject) error {
	raw, err := json.Marshal(s.spec)
	if err != nil {
		return err
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	for i, it := range s.plan.Items {
		if it.Field != "" && !resolves(doc, it.Field) {
			return fmt.Errorf("step %d, %s: no %s", i+1, it.Step, it.Field)
		}
	}
	return nil
}

// resolves reports whether doc has a value at a JSON pointer (RFC 6901).
func resolves(doc any, pointer string) bool {
	if !strings.HasPrefix(pointer, "/") {
		return false
	}
	for _, token := range strings.Split(pointer[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return false
			}
			doc = next
		case []any:
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(v) {
				return false
			}
			doc = v[n]
		default:
			return false
		}
	}
	return true
}

func userNamespaceFirst(s *subject) error {
	for n, i := range places[Unshare](s) {
		flags := s.plan.Items[i].Step.(Unshare).Flags
		if flags&unix.CLONE_NEWUSER == 0 {
			continue
		}
		if flags != unix.CLONE_NEWUSER || n != 0 {
			return fmt.Errorf("step %d is %s", i+1, s.plan.Items[i].Step)
		}
		for k, want := range []string{"IDMaps", "BecomeRoot"} {
			if got := Name(s.plan.Items[i+1+k].Step); got != want {
				return fmt.Errorf("step %d is %s; want %s", i+2+k, got, want)
			}
		}
	}
	if spawn := s.plan.Items[0].Step.(Spawn); spawn.Namespaces&^unix.CLONE_NEWPID != 0 || spawn.Namespaces != 0 && has(s, specs.UserNamespace, anyPath) {
		return fmt.Errorf("the stub is born in %s namespaces", NamespaceNames(spawn.Namespaces))
	}
	return firstOf(forkedOnce(s), before[Unshare, Fork](s), before[Fork, AttachRootfs](s))
}

// forkedOnce requires one way into a new pid namespace: Spawn creates it for the
// stub, or Unshare creates it and Fork follows.
func forkedOnce(s *subject) error {
	if s.exec || s.hook || !has(s, specs.PIDNamespace, isNew) {
		return count[Fork](s, 0)
	}
	var unshared uint64
	for _, i := range places[Unshare](s) {
		unshared |= s.plan.Items[i].Step.(Unshare).Flags
	}
	born := s.plan.Items[0].Step.(Spawn).Namespaces&unix.CLONE_NEWPID != 0
	if born == (unshared&unix.CLONE_NEWPID != 0) {
		return fmt.Errorf("born in the new pid namespace: %v; unshared: %v", born, !born)
	}
	if born {
		return count[Fork](s, 0)
	}
	return count[Fork](s, 1)
}

func rootfsAfterJoin(s *subject) error {
	if s.exec || s.hook {
		return nil
	}
	if err := count[EnterRootfs](s, 1); err != nil {
		return err
	}
	enter := first[EnterRootfs](s)
	for i, it := range s.plan.Items {
		switch step := it.Step.(type) {
		case Join:
			if step.Flag == unix.CLONE_NEWNS && i > enter {
				return fmt.Errorf("%s resets the working directory of %s", step, s.plan.Items[enter].Step)
			}
		case Unshare:
			if i < enter && !has(s, specs.MountNamespace, joined) {
				return fmt.Errorf("%s comes without the runtime's credentials", s.plan.Items[enter].Step)
			}
		}
	}
	return firstOf(before[EnterRootfs, AttachRootfs](s), before[EnterRootfs, ChangeRoot](s))
}

func cgroupsFirst(s *subject) error {
	return firstOf(
		before[OOMScoreAdj, Unshare](s), before[JoinCgroups, Unshare](s), before[JoinCgroups, Join](s), before[JoinCgroups, Enter](s),
		before[OOMScoreAdj, BecomeRoot](s), before[ForkInto, Enter](s), before[ForkInto, JoinCgroups](s), bornInCgroup(s))
}

// bornInCgroup requires, on cgroup2, exactly one step that creates a process in
// the container's cgroup.
func bornInCgroup(s *subject) error {
	born := len(places[ForkInto](s))
	if s.plan.Items[0].Step.(Spawn).Cgroup {
		born++
	}
	want := 0
	if s.host.Unified && !s.hook {
		want = 1
	}
	if born != want {
		return fmt.Errorf("%d times; want %d", born, want)
	}
	return nil
}

// mountIndex returns the index of the configuration's mount that an item is for.
func mountIndex(it Item) (int, bool) {
	rest, ok := strings.CutPrefix(it.Field, "/mounts/")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil
}

// lateRemount reports whether step i is a delayed remount to read-only. Those
// follow all mounts.
func lateRemount(s *subject, i int) bool {
	_, ok := s.plan.Items[i].Step.(Remount)
	return ok && i > max(last[Mount](s), last[Bind](s)) && i > last[Symlink](s)
}

func mountsInOrder(s *subject) error {
	if s.exec || s.hook {
		return firstOf(count[Mount](s, 0), count[Bind](s, 0), count[Remount](s, 0))
	}
	seen := map[int]bool{}
	at := -1
	for i, it := range s.plan.Items {
		n, ok := mountIndex(it)
		if !ok {
			continue
		}
		seen[n] = true
		if n < at && !lateRemount(s, i) {
			return fmt.Errorf("mount %d comes after mount %d", n, at)
		}
		at = max(at, n)
	}
	if len(seen) != len(s.spec.Mounts) {
		return fmt.Errorf("%d of %d mounts are in the plan", len(seen), len(s.spec.Mounts))
	}
	return firstOf(before[AttachRootfs, Mount](s), before[Mount, Device](s), before[Bind, Device](s), before[Mount, Pivot](s), before[Bind, Pivot](s))
}

// place returns the place that a step fills, and whether it puts a mount there.
func place(step Step) (p Place, mount, ok bool) {
	switch s := step.(type) {
	case Mount:
		return s.At, true, true
	case Bind:
		return s.At, !s.CopySymlink, true
	case Device:
		return s.At, false, true
	case Symlink:
		return s.At, false, true
	case Terminal:
		return s.Console, false, s.Console.Path != ""
	case Remount:
		return s.At, false, true
	}
	return Place{}, false, false
}

func placesHold(s *subject) error {
	open := map[string]bool{} // kept mounts that no other mount covers
	for i, it := range s.plan.Items {
		p, mount, ok := place(it.Step)
		if !ok {
			continue
		}
		switch {
		case !path.IsAbs(p.Path) || path.Clean(p.Path) != p.Path:
			return fmt.Errorf("step %d: %q is not clean", i+1, p.Path)
		case p.In == "" && p.Name != "":
			return fmt.Errorf("step %d: %q in nothing", i+1, p.Name)
		case p.In != "" && (p.Name == "" || strings.Contains(p.Name, "/") || p.Name == "." || p.Name == ".." || path.Join(p.In, p.Name) != p.Path):
			return fmt.Errorf("step %d: %q is not %q in %q", i+1, p.Path, p.Name, p.In)
		case p.In != "" && !open[p.In]:
			return fmt.Errorf("step %d: %s is in a mount that is not there, not kept or covered", i+1, p.Path)
		}
		if r, ok := it.Step.(Remount); ok && r.Kept && !open[p.Path] {
			return fmt.Errorf("step %d: %s was not kept or is covered", i+1, p.Path)
		}
		if mount {
			cover(open, p.Path)
			m, ok := it.Step.(Mount)
			open[p.Path] = ok && m.Keep
		}
	}
	return nil
}

func cover(open map[string]bool, p string) {
	for dir := range open {
		if dir == p || p == "/" || strings.HasPrefix(dir, p+"/") {
			delete(open, dir)
		}
	}
}

// readonlyAtTheEnd compares the final read-only attribute of each mount in the plan
// with the configuration. It also refuses a step that fills a read-only mount.
func readonlyAtTheEnd(s *subject) error {
	if s.exec || s.hook {
		return nil
	}
	got := map[string]bool{}
	for i, it := range s.plan.Items {
		if p, _, ok := place(it.Step); ok && p.In != "" && got[p.In] {
			return fmt.Errorf("step %d: %s is read-only already when %s is made", i+1, p.In, p.Path)
		}
		switch step := it.Step.(type) {
		case Mount:
			noteMount(got, step.At.Path, step.Attrs)
		case Bind:
			if !step.CopySymlink {
				noteMount(got, step.At.Path, step.Attrs)
			}
		case Remount:
			noteRemount(got, step.At.Path, step.Attrs)
		}
	}
	for p, want := range readonlyMounts(s.spec, len(s.host.Cgroups) == 0) {
		if got[p] != want {
			return fmt.Errorf("at the end %s is read-only: %v; want %v", p, got[p], want)
		}
	}
	want := s.spec.Root != nil && s.spec.Root.Readonly || s.spec.Linux != nil && slices.Contains(s.spec.Linux.ReadonlyPaths, "/")
	if want != readonlyRoot(s) {
		return fmt.Errorf("the root is read-only: %v; want %v", !want, want)
	}
	return before[Terminal, RootAttrs](s)
}

// readonlyMounts returns, by destination, whether the configuration makes a mount
// read-only. Without cgroups, a cgroup mount is an empty, read-only directory.
func readonlyMounts(spec *specs.Spec, noCgroups bool) map[string]bool {
	want := map[string]bool{}
	for _, m := range spec.Mounts {
		o, err := specconv.ParseMountOptions(m.Type, m.Options)
		dest := path.Clean("/" + m.Destination)
		_, mounted := want[dest]
		switch {
		case err != nil || o.CopySymlink && !o.Remount || o.Remount && !mounted:
		case o.Remount:
			noteRemount(want, dest, attrs(&o))
		default:
			noteMount(want, dest, attrs(&o))
			want[dest] = want[dest] || noCgroups && !o.Bind && (m.Type == "cgroup" || m.Type == "cgroup2")
		}
	}
	return want
}

func noteMount(readonly map[string]bool, p string, a Attrs) {
	cover(readonly, p)
	readonly[p] = false
	noteRemount(readonly, p, a)
}

// noteRemount applies the attributes in the engine's order: those of the tree last.
func noteRemount(readonly map[string]bool, p string, a Attrs) {
	for _, bits := range [][2]uint64{{a.Set, a.Clear}, {a.RecSet, a.RecClear}} {
		switch {
		case bits[0]&unix.MOUNT_ATTR_RDONLY != 0:
			readonly[p] = true
		case bits[1]&unix.MOUNT_ATTR_RDONLY != 0:
			readonly[p] = false
		}
	}
}

func readonlyRoot(s *subject) bool {
	return slices.ContainsFunc(s.plan.Items, func(it Item) bool {
		r, ok := it.Step.(RootAttrs)
		return ok && r.Attrs.Set&unix.MOUNT_ATTR_RDONLY != 0
	})
}

func propagationFirst(s *subject) error {
	if !s.exec && !s.hook && has(s, specs.MountNamespace, anyPath) {
		if err := firstOf(count[Propagation](s, 1), count[AttachRootfs](s, 1), count[Pivot](s, 1), count[ChangeRoot](s, 0)); err != nil {
			return err
		}
		if flags := s.plan.Items[first[Propagation](s)].Step.(Propagation).Flags; flags != unix.MS_SLAVE|unix.MS_REC && flags != unix.MS_PRIVATE|unix.MS_REC {
			return fmt.Errorf("it is %#x", flags)
		}
	} else if err := firstOf(count[Propagation](s, 0), count[AttachRootfs](s, 0), count[Pivot](s, 0), count[Device](s, 0), count[Masks](s, 0), noMountInTerminal(s)); err != nil {
		return err
	}
	return firstOf(
		before[Unshare, Propagation](s), before[Join, Propagation](s), before[Propagation, AttachRootfs](s),
		before[Propagation, Mount](s), before[Propagation, Bind](s), before[Propagation, Terminal](s))
}

// noMountInTerminal requires no console mount without a mount namespace, because
// it would be a mount on the host.
func noMountInTerminal(s *subject) error {
	for _, i := range places[Terminal](s) {
		if p := s.plan.Items[i].Step.(Terminal).Console.Path; p != "" {
			return fmt.Errorf("%s is mounted on without a mount namespace", p)
		}
	}
	if s.exec || s.hook {
		return nil
	}
	return before[ChangeRoot, Terminal](s) // the terminal comes from the container's devpts
}

func filesClosed(s *subject) error {
	if err := count[CloseFiles](s, 1); err != nil {
		return err
	}
	at := first[CloseFiles](s)
	for i, it := range s.plan.Items[at+1:] {
		if !slices.Contains(behindCredentials, Name(it.Step)) {
			return fmt.Errorf("step %d, %s, comes behind it", at+i+2, it.Step)
		}
	}
	return firstOf(before[Enter, CloseFiles](s), before[Pivot, CloseFiles](s), before[CloseFiles, Gate](s), before[CloseFiles, CloneInto](s))
}

func oneLineEach(s *subject) error {
	for i, it := range s.plan.Items {
		text := it.Step.String()
		if text == "" || strings.TrimSpace(text) != text || strings.ContainsAny(text, "\n\r") {
			return fmt.Errorf("step %d, %s, prints as %q", i+1, Name(it.Step), text)
		}
	}
	if lines := strings.Count(s.plan.String(), "\n"); lines != len(s.plan.Items) {
		return fmt.Errorf("%d lines for %d steps", lines, len(s.plan.Items))
	}
	return nil
}

// The laws must catch plans with exchanged or missing steps.
func TestLawsCatchABrokenOrder(t *testing.T) {
	s := specconv.Example()
	all(withNamespace(specs.UserNamespace), withSeccomp(true, ""), withMount(specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}}))(s)
	s.Linux.Sysctl = map[string]string{"kernel.shmmax": "1"}
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, CreateContainer: []specs.Hook{{Path: "/bin/true"}}}
	good := create(t, request(s, hostV2()))
	for _, swap := range [][2]string{
		{"Spawn", "Harden"},
		{"IDMaps", "BecomeRoot"},
		{"Hooks", "Masks"},
		{"Masks", "Pivot"},
		{"Sysctl", "Readonly"},
		{"Identity", "NoNewPrivs"},
		{"Capabilities", "Identity"},
		{"Gate", "Execute"},
		{"Seccomp", "Gate"},
		{"CloseFiles", "Pivot"},
		{"Propagation", "Mount"},
		{"Terminal", "Propagation"},
		{"Device", "Mount"},
	} {
		bad := &Plan{Items: slices.Clone(good.Items)}
		find := func(name string) int {
			return slices.IndexFunc(bad.Items, func(it Item) bool { return Name(it.Step) == name })
		}
		a, b := find(swap[0]), find(swap[1])
		if a < 0 || b < 0 {
			t.Fatalf("%v: not in the plan", swap)
		}
		bad.Items[a], bad.Items[b] = bad.Items[b], bad.Items[a]
		broken := slices.ContainsFunc(laws, func(l law) bool { return l.hold(&subject{plan: bad, spec: s, host: hostV2()}) != nil })
		if !broken {
			t.Errorf("with %s and %s exchanged no law is broken", swap[0], swap[1])
		}
	}
	for i, it := range good.Items {
		bad := &Plan{Items: slices.Delete(slices.Clone(good.Items), i, i+1)}
		name := Name(it.Step)
		if slices.Contains([]string{"Execute", "Gate", "Identity", "CloseFiles", "Pivot", "AttachRootfs", "IDMaps", "Propagation", "Seccomp", "Hooks", "Capabilities", "EnterRootfs", "Fork", "Session"}, name) {
			if !slices.ContainsFunc(laws, func(l law) bool { return holdsNot(l, &subject{plan: bad, spec: s, host: hostV2()}) }) {
				t.Errorf("without step %d, %s, no law is broken", i+1, it.Step)
			}
		}
	}
}

// holdsNot reports whether a law is broken. A law may panic on an incomplete plan;
// that counts.
func holdsNot(l law, s *subject) (broken bool) {
	defer func() { broken = broken || recover() != nil }()
	return l.hold(s) != nil
}

func TestResolves(t *testing.T) {
	doc := map[string]any{"a": []any{map[string]any{"b/c": 1.0, "d~": 2.0}}}
	for pointer, want := range map[string]bool{"/a": true, "/a/0/b~1c": true, "/a/0/d~0": true, "/a/1": false, "/b": false, "a": false, "/a/0/b": false, "/a/x": false} {
		if got := resolves(doc, pointer); got != want {
			t.Errorf("resolves(%q) = %v; want %v", pointer, got, want)
		}
	}
}
