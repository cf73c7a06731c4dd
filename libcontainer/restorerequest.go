package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/specconv"
)

// requireImages refuses a directory without a complete checkpoint. The inventory
// proves completeness: CRIU writes it last.
func (d *imageDir) requireImages() error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.dir.Fd()), "inventory.img", &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%s has no complete checkpoint: inventory.img: %w", d.path, err)
	}
	if err := unix.Fstatat(int(d.dir.Fd()), "pstree.img", &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%s has no complete checkpoint (only a pre-dump?): pstree.img: %w", d.path, err)
	}
	return nil
}

// stagedMounts returns the mounts that the stub prepared below plan.StageTree. Their
// paths are those in the container.
func stagedMounts(pid int) ([]criu.Mount, error) {
	all, err := mountsOf(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	var out []criu.Mount
	for _, m := range all {
		if m.Point == plan.StageTree {
			m.Point = "/"
		} else if rest, ok := strings.CutPrefix(m.Point, plan.StageTree+"/"); ok {
			m.Point = "/" + rest
		} else {
			continue
		}
		out = append(out, m)
	}
	return out, nil
}

// request returns the request for the restore.
func (r *restoration) request() (*rpc.CriuReq, error) {
	o := r.o.CRIUOptions
	o.EmptyNetwork = o.EmptyNetwork || asksForNew(r.config.Spec, specs.NetworkNamespace)
	images := r.images.dir
	if r.mapped != nil {
		images = r.mapped
	}
	q := o.request(images, r.work.dir, "restore.log")
	q.Root, q.RstSibling, q.ConfigFile = set(plan.StageRoot), set(true), configFile(r.config.Spec)
	q.TcpClose, q.LsmProfile, q.LsmMountContext = set(r.o.TCPClose), set(r.o.LSMProfile), set(r.o.LSMMountContext)
	if err := r.addMounts(q); err != nil {
		return nil, err
	}
	for i, f := range r.files {
		key, number := f.key, int32(criuSocket+1+i)
		q.InheritFd = append(q.InheritFd, &rpc.InheritFd{Key: &key, Fd: &number})
	}
	r.addJoined(q)
	r.addCgroupRoots(q)
	kind := rpc.CriuReqType_RESTORE
	return &rpc.CriuReq{Type: &kind, Opts: q}, nil
}

// addMounts tells CRIU the source of each mount that it did not dump.
func (r *restoration) addMounts(q *rpc.CriuOpts) error {
	at := map[string]bool{}
	for _, m := range r.staged {
		if m.Point == "/" || at[m.Point] {
			continue
		}
		at[m.Point] = true
		point, source := m.Point, plan.StageTree+m.Point
		q.ExtMnt = append(q.ExtMnt, &rpc.ExtMountMap{Key: &point, Val: &source})
	}
	if r.facts == nil { // runc's checkpoint has one key for all masked files
		null := os.DevNull
		q.ExtMnt = append(q.ExtMnt, &rpc.ExtMountMap{Key: &null, Val: &null})
		return nil
	}
	var missing []error
	for _, m := range r.facts.Mounts {
		if m.External && !at[m.Point] {
			missing = append(missing, fmt.Errorf("the container had a mount on %s, for which the configuration has no source", m.Point))
		}
	}
	return oneLine(errors.Join(missing...))
}

// addJoined makes CRIU join the IPC, UTS and time namespaces. CRIU takes these by
// path; openNamespaces opens the others.
func (r *restoration) addJoined(q *rpc.CriuOpts) {
	for _, t := range []specs.LinuxNamespaceType{specs.IPCNamespace, specs.UTSNamespace, specs.TimeNamespace} {
		if n := specconv.Namespace(r.config.Spec, t); n != nil && n.Path != "" {
			name, file := string(t), n.Path
			q.JoinNs = append(q.JoinNs, &rpc.JoinNamespace{Ns: &name, NsFile: &file})
		}
	}
}

// addCgroupRoots tells CRIU the container's present cgroups, if CRIU manages cgroups.
func (r *restoration) addCgroupRoots(q *rpc.CriuOpts) {
	if r.o.ManageCgroups == "" || r.o.ManageCgroups == "ignore" {
		return
	}
	for _, d := range r.paths.V1 {
		ctrl, path := strings.Join(d.Controllers, ","), d.Path
		q.CgRoot = append(q.CgRoot, &rpc.CgroupRoot{Ctrl: &ctrl, Path: &path})
	}
	if u := r.paths.Unified; u != nil {
		path := u.Path
		q.CgRoot = append(q.CgRoot, &rpc.CgroupRoot{Path: &path})
	}
}

// forbidding lists the mount options that restrict a process.
var forbidding = []string{"ro", "nosuid", "nodev", "noexec", "nosymfollow", "idmapped"}

// compareMounts refuses a restored mount that is missing, or weaker than it was at the
// dump. It also refuses a mount that is weaker than the staged one, which has the options
// of the configuration, and an external mount of another source.
func compareMounts(facts *dumpFacts, staged, restored []criu.Mount) error {
	now, asked := topmost(restored), topmost(staged)
	var errs []error
	if facts != nil {
		for _, m := range facts.Mounts {
			r, ok := now[m.Point]
			if !ok {
				errs = append(errs, fmt.Errorf("the mount on %s is missing", m.Point))
				continue
			}
			if covered(facts.Mounts, m) {
				continue
			}
			errs = append(errs, weaker(r, m.Options, m.Peers))
			if a, ok := asked[m.Point]; ok && (m.External || m.Point == "/") {
				errs = append(errs, otherSource(r, a))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return oneLine(err)
	}
	for _, pair := range pairs(staged, restored) {
		peers := pair.restored.Peers // facts has those of the dump
		if facts == nil {
			peers = pair.staged.Peers
		}
		errs = append(errs, weaker(pair.restored, pair.staged.Options, peers))
	}
	return oneLine(errors.Join(errs...))
}

// otherSource returns an error if a restored mount shows another directory than the staged
// one.
func otherSource(restored, staged criu.Mount) error {
	if restored.Device == staged.Device && restored.Root == staged.Root {
		return nil
	}
	return fmt.Errorf("the mount on %s came back with another source: %s of device %s, and the configuration asks for %s of device %s",
		restored.Point, restored.Root, restored.Device, staged.Root, staged.Device)
}

// mountPair is a restored mount and the staged one in its place.
type mountPair struct{ staged, restored criu.Mount }

// pairs returns the topmost mounts of the mountpoints that have as many mounts as in the
// stage. Elsewhere the container's program has made or removed mounts itself.
func pairs(staged, restored []criu.Mount) (out []mountPair) {
	now, asked := topmost(restored), topmost(staged)
	more := map[string]int{}
	for _, m := range restored {
		more[m.Point]++
	}
	for _, m := range staged {
		more[m.Point]--
	}
	for _, m := range staged {
		if r, ok := now[m.Point]; ok && asked[m.Point] == m && more[m.Point] == 0 {
			out = append(out, mountPair{m, r})
		}
	}
	return out
}

// topmost returns the mounts by their mountpoints. A later mount covers an earlier one.
func topmost(mounts []criu.Mount) map[string]criu.Mount {
	at := map[string]criu.Mount{}
	for _, m := range mounts {
		at[m.Point] = m
	}
	return at
}

// covered reports whether a later mount has the same mountpoint.
func covered(mounts []dumpedMount, m dumpedMount) bool {
	last := m
	for _, o := range mounts {
		if o.Point == m.Point {
			last = o
		}
	}
	return last != m
}

// weaker returns an error if a restored mount lacks a restriction among options, or
// has another propagation than peers.
func weaker(m criu.Mount, options, peers string) error {
	has := strings.Split(m.Options, ",")
	for _, want := range strings.Split(options, ",") {
		if slices.Contains(forbidding, want) && !slices.Contains(has, want) {
			return fmt.Errorf("the mount on %s came back without %s", m.Point, want)
		}
	}
	for _, kind := range []string{"shared:", "master:", "unbindable"} {
		if strings.Contains(peers, kind) != strings.Contains(m.Peers, kind) {
			return fmt.Errorf("the mount on %s came back with another propagation: %q, and it was %q", m.Point, m.Peers, peers)
		}
	}
	return nil
}

// setAttributes sets the attributes of threads that CRIU does not restore. A failure
// is a warning, because the thread may have ended.
func (r *restoration) setAttributes() {
	if r.facts == nil {
		return
	}
	byTid := map[int]threadFacts{}
	for _, t := range r.facts.Threads {
		byTid[t.Tid] = t
	}
	pids, err := r.paths.AllProcs()
	if err != nil || len(pids) == 0 {
		pids = []int{r.record.Init.Pid}
	}
	for _, pid := range pids {
		tids, _ := readDir(procPath(pid, "task"))
		for _, name := range tids {
			tid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			if t, ok := byTid[pidInside(tid)]; ok {
				if err := t.apply(tid); err != nil {
					r.warnf("thread %d: %v", tid, err)
				}
			}
		}
	}
}

func (t *threadFacts) apply(tid int) error {
	var set unix.CPUSet
	for i, word := range t.CPUs {
		for bit := range 64 {
			if word>>bit&1 != 0 {
				set.Set(i*64 + bit)
			}
		}
	}
	var errs []error
	if len(t.CPUs) > 0 && unix.SchedSetaffinity(tid, &set) != nil {
		errs = append(errs, errors.New("its CPU affinity is not restored: this host has none of the processors"))
	}
	if t.IOPriority != 0 {
		if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(tid), uintptr(t.IOPriority)); errno != 0 {
			errs = append(errs, fmt.Errorf("its I/O priority is not restored: %w", errno))
		}
	}
	if t.TimerSlack != 0 {
		if err := os.WriteFile(procPath(tid, "timerslack_ns"), []byte(strconv.FormatUint(t.TimerSlack, 10)), 0); err != nil {
			errs = append(errs, fmt.Errorf("its timer slack is not restored: %w", err))
		}
	}
	return oneLine(errors.Join(errs...))
}

// setUpNetwork brings lo up and sets the sysctls of a new network namespace. CRIU
// leaves it empty. A thread of its own enters the namespace and ends there, because
// a thread that leaves again could fail to return.
func setUpNetwork(pid int, sysctls map[string]string) error {
	ns, err := os.Open(procPath(pid, "ns/net"))
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Go ends a locked thread with its goroutine
		done <- setUpNetworkHere(int(ns.Fd()), sysctls)
	}()
	return <-done
}

func setUpNetworkHere(ns int, sysctls map[string]string) error {
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: setns: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for _, key := range sortedKeys(sysctls) {
		path, err := specconv.SysctlPath(key)
		if err != nil || len(path) == 0 || path[0] != "net" {
			continue // CRIU restores the sysctls of the other namespaces
		}
		file := "/proc/sys/" + strings.Join(path, "/")
		if err := os.WriteFile(file, []byte(sysctls[key]), 0); err != nil {
			return &Failure{Field: "/linux/sysctl", Err: err}
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
