package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Obstacle is a property of a container that CRIU cannot dump, or can dump only with a flag.
type Obstacle struct {
	Pid        int    `json:"pid,omitempty"` // on the host; 0: the whole container
	Command    string `json:"command,omitempty"`
	Descriptor *int   `json:"descriptor,omitempty"`
	Path       string `json:"path,omitempty"`
	Cause      string `json:"cause"`
	Flag       string `json:"flag,omitempty"` // the dump succeeds with this flag
	// Warning means that the dump succeeds, but the restore loses this property.
	Warning bool `json:"warning"`
}

// CheckCheckpoint returns the known reasons why Checkpoint with these options would fail,
// and the properties that a restore would lose (Warning). It reads procfs and the lists
// of sockets. It does not change the container, and it needs no CRIU.
//
// Errors: ErrNotRunning, or an error of reading procfs.
func (c *Container) CheckCheckpoint(_ context.Context, o CheckpointOptions) (_ []Obstacle, err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	d := &dump{Container: c, o: o}
	if err := d.checkState(); err != nil {
		return nil, err
	}
	if d.spec, err = d.Container.spec(); err != nil {
		return nil, err
	}
	pids, err := d.processes()
	if err != nil {
		return nil, err
	}
	mounts, err := mountsOf(strconv.Itoa(d.record.Init.Pid))
	if err != nil {
		return nil, err
	}
	s := &survey{dump: d, pids: pids, mounts: mounts, sockets: listSockets(pids, d.record.Init.Pid)}
	for _, pid := range s.dumped() {
		if err := s.process(pid); err != nil && !isGone(err) {
			return nil, err
		}
	}
	s.container()
	return s.found, nil
}

// survey is one search for obstacles.
type survey struct {
	*dump
	pids    []int
	mounts  []criu.Mount
	sockets *socketList
	found   []Obstacle
	comm    string // name of the current process
}

// add reports an obstacle unless the caller has given the flag for it.
func (s *survey) add(o Obstacle, given bool) {
	if given {
		return
	}
	if o.Pid != 0 {
		o.Command = printableName(s.comm)
	}
	s.found = append(s.found, o)
}

// printableName replaces control characters, because a process chooses its name.
func printableName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// dumped returns the processes that CRIU dumps. It reports the processes of exec: CRIU
// leaves them and their descendants out.
func (s *survey) dumped() (pids []int) {
	parents, names := map[int]int{}, map[int]string{}
	for _, pid := range s.pids {
		if st, err := proc.ReadStat(pid); err == nil && !st.Exiting() {
			parents[pid], names[pid] = st.PPid, st.Comm
		}
	}
	for _, pid := range s.pids {
		top := pid
		for range parents { // bounded, because parents change during the walk
			if _, inside := parents[parents[top]]; top == s.record.Init.Pid || !inside {
				break
			}
			top = parents[top]
		}
		switch {
		case top == s.record.Init.Pid:
			pids = append(pids, pid)
		case top == pid && parents[pid] != 0:
			s.comm = names[pid]
			s.add(Obstacle{Pid: pid, Cause: "it was started by exec: it is not in the checkpoint, and ends with the container", Flag: "--skip-exec", Warning: true}, s.o.SkipExec)
		}
	}
	return pids
}

// container reports obstacles of the container as a whole.
func (s *survey) container() {
	for _, m := range s.mounts {
		if m.Type == "mqueue" && s.hasEntries(m.Point) {
			s.add(Obstacle{Path: m.Point, Cause: "a POSIX message queue cannot be dumped"}, false)
		}
	}
	if _, why := s.unrestorable(); why != "" {
		s.add(Obstacle{Cause: why, Flag: "--leave-running"}, false)
	}
	if _, err := criu.Find(os.Getenv("PATH")); err != nil {
		s.add(Obstacle{Cause: err.Error(), Warning: true}, false)
	}
}

// hasEntries reports whether a directory has entries. The kernel resolves the path in
// the root of the container's first process.
func (s *survey) hasEntries(path string) bool {
	root, err := unix.Open(procPath(s.record.Init.Pid, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, _ := dir.Readdirnames(1)
	return len(names) > 0
}

// process reports the obstacles of one process.
func (s *survey) process(pid int) error {
	st, err := proc.ReadStat(pid)
	if err != nil || st.Exiting() {
		return nil //nolint:nilerr // a process that ends is no obstacle
	}
	s.comm = st.Comm
	status, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return err
	}
	s.status(pid, string(status))
	s.namespaces(pid)
	if pid != s.record.Init.Pid && sharesMemory(pid, st.PPid) {
		s.add(Obstacle{Pid: pid, Cause: "it shares its memory with its parent (vfork)"}, false)
	}
	if err := s.descriptors(pid); err != nil {
		return err
	}
	return s.mappings(pid)
}

// status reports obstacles that /proc/PID/status shows (proc_pid_status(5)).
func (s *survey) status(pid int, status string) {
	if tracer := infoField(status, "TracerPid:", 10); tracer > 0 {
		s.add(Obstacle{Pid: pid, Cause: fmt.Sprintf("process %d traces it", tracer)}, false)
	}
	if last := lastField(status, "NSsid:"); last == "0" {
		s.add(Obstacle{Pid: pid, Cause: "the leader of its session is outside of the container", Flag: "--shell-job"}, s.o.ShellJob)
	}
	if uid := lastField(status, "Uid:"); uid != "0" && uid != "" && !mayReadLimits() {
		s.add(Obstacle{Pid: pid, Cause: "it belongs to user " + uid + ": CRIU needs CAP_SYS_RESOURCE to read its limits"}, false)
	}
}

// lastField returns the last field of a line of proc_pid_status(5).
func lastField(status, name string) string {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(v); len(f) > 0 {
				return f[len(f)-1]
			}
		}
	}
	return ""
}

// mayReadLimits reports whether this process, and so CRIU, has CAP_SYS_RESOURCE.
func mayReadLimits() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return true
	}
	caps, err := strconv.ParseUint(lastField(string(status), "CapEff:"), 16, 64)
	return err != nil || caps>>unix.CAP_SYS_RESOURCE&1 != 0
}

// namespaces reports namespaces that differ from those of the first process. CRIU dumps
// only nested mount and network namespaces.
func (s *survey) namespaces(pid int) {
	for _, t := range []string{"pid", "user", "uts"} {
		own, err := os.Readlink(procPath(pid, "ns/"+t))
		first, err1 := os.Readlink(procPath(s.record.Init.Pid, "ns/"+t))
		if err == nil && err1 == nil && own != first {
			s.add(Obstacle{Pid: pid, Cause: "it is in a nested " + t + " namespace"}, false)
		}
	}
}

// sharesMemory reports whether two processes share an address space (kcmp(2)).
func sharesMemory(a, b int) bool {
	const kcmpVM = 1
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpVM, 0, 0, 0)
	return errno == 0 && r == 0
}

// descriptors reports the open files of a process.
func (s *survey) descriptors(pid int) error {
	return eachDescriptor(pid, s.descriptor)
}

// eachDescriptor calls f with the open files of a process.
func eachDescriptor(pid int, f func(descriptor)) error {
	names, err := readDir(procPath(pid, "fd"))
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	for _, name := range names {
		link, err := os.Readlink(procPath(pid, "fd/"+name))
		if err != nil {
			continue // closed meanwhile
		}
		info, err := os.ReadFile(procPath(pid, "fdinfo/"+name))
		if err != nil {
			continue
		}
		f(descriptor{pid, number(name), link, string(info)})
	}
	return nil
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// descriptor is an open file of a process.
type descriptor struct {
	pid, fd    int
	link, info string
}

func (d *descriptor) path() string { return procPath(d.pid, "fd/"+strconv.Itoa(d.fd)) }

// obstacle returns an obstacle of this descriptor.
func (d *descriptor) obstacle(cause, flag string) Obstacle {
	o := Obstacle{Pid: d.pid, Descriptor: &d.fd, Cause: cause, Flag: flag}
	if strings.HasPrefix(d.link, "/") {
		o.Path = printableName(strings.TrimSuffix(d.link, deletedEnd))
	}
	return o
}

// deletedEnd is the end of a link in procfs whose file has been removed.
const deletedEnd = " (deleted)"

func (s *survey) descriptor(d descriptor) {
	if strings.Contains(d.info, "\nlock:") {
		s.add(d.obstacle("a file lock or lease", "--file-locks"), s.o.FileLocks)
	}
	switch {
	case strings.HasPrefix(d.link, "anon_inode:"):
		if why := anonymous(strings.TrimPrefix(d.link, "anon_inode:")); why != "" {
			s.add(d.obstacle(why, ""), false)
		}
	case strings.HasPrefix(d.link, "socket:["):
		s.socket(d)
	case strings.HasPrefix(d.link, "/secretmem"):
		s.add(d.obstacle("secret memory (memfd_secret)", ""), false)
	case strings.HasPrefix(d.link, memfdStart):
		s.memfd(d)
	case strings.HasPrefix(d.link, "/"):
		s.file(d)
	}
}

// memfdStart is the start of a memfd's link in procfs (memfd_create(2)).
const memfdStart = "/memfd:"

// memfd reports a memfd whose owner has no id in the container's user namespace. CRIU
// 4.2.1 dumps the id -1, and its restore fails when it sets the owner.
func (s *survey) memfd(d descriptor) {
	var st unix.Stat_t
	if s.spec.Linux == nil || !asksForNew(s.spec, specs.UserNamespace) || unix.Stat(d.path(), &st) != nil {
		return
	}
	if l := s.spec.Linux; !isMapped(l.UIDMappings, st.Uid) || !isMapped(l.GIDMappings, st.Gid) {
		s.add(d.obstacle(fmt.Sprintf("a memfd of the host's %d:%d, which has no ids in the user namespace: a restore cannot set its owner", st.Uid, st.Gid), "--leave-running"), s.o.LeaveRunning || s.o.PreDump)
	}
}

// isMapped reports whether an id of the host has one in the user namespace.
func isMapped(list []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(list, func(m specs.LinuxIDMapping) bool { return id >= m.HostID && id-m.HostID < m.Size })
}

// checkOwners refuses a dump that ends a container whose restore would fail because of a memfd.
func (d *dump) checkOwners() error {
	if !asksForNew(d.spec, specs.UserNamespace) {
		return nil
	}
	pids, err := d.processes()
	if err != nil {
		return err
	}
	dumped := (&survey{dump: d, pids: pids}).dumped()
	s := &survey{dump: d}
	for _, pid := range dumped {
		if st, err := proc.ReadStat(pid); err == nil {
			s.comm = st.Comm
		}
		err := eachDescriptor(pid, func(x descriptor) {
			if strings.HasPrefix(x.link, memfdStart) {
				s.memfd(x)
			}
		})
		if err != nil && !isGone(err) {
			return err
		}
	}
	if len(s.found) == 0 {
		return nil
	}
	return &Failure{Field: "/linux/namespaces", Err: errors.New(s.found[0].String())}
}

// dumpable are the kinds of anonymous inodes that CRIU dumps.
var dumpable = []string{"[eventpoll]", "[eventfd]", "[timerfd]", "[signalfd]", "[fanotify]", "inotify", "[inotify]", "[pidfd]"}

// anonymous returns the reason why an anonymous inode cannot be dumped, or "".
func anonymous(kind string) string {
	if slices.Contains(dumpable, kind) {
		return ""
	}
	for _, k := range []struct{ kind, name string }{
		{"[io_uring]", "io_uring"},
		{"bpf-map", "a BPF map"},
		{"bpf-prog", "a BPF program"},
		{"[perf_event]", "a perf event"},
		{"[userfaultfd]", "a userfaultfd"},
		{"seccomp notify", "a seccomp listener"},
	} {
		if kind == k.kind {
			return k.name + " cannot be dumped"
		}
	}
	return "an object of the kind " + printableName(kind) + " cannot be dumped"
}

// file reports a file with a path, or a device.
func (s *survey) file(d descriptor) {
	var st unix.Stat_t
	if unix.Stat(d.path(), &st) != nil {
		return
	}
	outside := s.outside(d)
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFCHR:
		s.device(d, st.Rdev, outside)
	case outside && (kind == unix.S_IFREG || kind == unix.S_IFIFO):
		if d.fd > 2 {
			o := d.obstacle("a file of the host, for which a restore has nothing", "")
			o.Warning = true
			s.add(o, false)
		}
	case outside:
		s.add(d.obstacle("it is on no mount of the container", ""), false)
	case kind == unix.S_IFREG && strings.HasSuffix(d.link, deletedEnd):
		s.removed(d.obstacle("", ""), &st)
	}
}

// outside reports whether a descriptor's file is on a mount of the host. The process
// may be in a mount namespace of its own.
func (s *survey) outside(d descriptor) bool {
	mounts, err := mountsOf(strconv.Itoa(d.pid))
	if err != nil {
		mounts = s.mounts
	}
	id := infoField(d.info, "mnt_id:", 10)
	return !slices.ContainsFunc(mounts, func(m criu.Mount) bool { return m.ID == id })
}

// removed reports a removed file that needs a flag.
func (s *survey) removed(o Obstacle, st *unix.Stat_t) {
	const block, defaultLimit = 512, 1 << 20
	limit := int64(s.o.GhostLimit)
	if limit == 0 {
		limit = defaultLimit
	}
	if st.Nlink > 0 {
		o.Cause, o.Flag = "it was removed and has another name", "--link-remap"
		s.add(o, s.o.LinkRemap)
		return
	}
	if size := st.Blocks * block; size > limit {
		o.Cause, o.Flag = fmt.Sprintf("a removed file of %d bytes", size), fmt.Sprintf("--ghost-limit %d", size)
		s.add(o, false)
	}
}

// device reports a character device. The numbers are those of the kernel's
// admin-guide/devices.txt.
func (s *survey) device(d descriptor, dev uint64, outside bool) {
	major, minor := unix.Major(dev), unix.Minor(dev)
	switch {
	case major == 1 && slices.Contains([]uint32{3, 5, 7, 8, 9}, minor), major == 10 && minor == 200: // null, zero, full, random, urandom; tun
	case major == 4 || major == 5 || major >= 136 && major <= 143: // terminals
		if outside {
			s.add(d.obstacle("a terminal of the host", "--shell-job"), s.o.ShellJob)
		}
	default:
		s.add(d.obstacle(fmt.Sprintf("a device (%d:%d) that CRIU cannot dump without a plugin for it", major, minor), ""), false)
	}
}

// mappings reports mapped objects that CRIU cannot dump.
func (s *survey) mappings(pid int) error {
	maps, err := os.ReadFile(procPath(pid, "maps"))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 6)
		if len(f) < 6 {
			continue
		}
		name := strings.TrimSpace(f[5])
		if seen[name] {
			continue
		}
		seen[name] = true
		s.mapping(pid, f[0], name)
	}
	return nil
}

func (s *survey) mapping(pid int, at, name string) {
	o := Obstacle{Pid: pid, Path: printableName(strings.TrimSuffix(name, deletedEnd))}
	switch {
	case strings.HasPrefix(name, "anon_inode:"):
		o.Path = ""
		if o.Cause = anonymous(strings.TrimPrefix(name, "anon_inode:")); o.Cause != "" {
			o.Cause += " (it is mapped)"
			s.add(o, false)
		}
	case strings.HasPrefix(name, "/secretmem"):
		s.add(Obstacle{Pid: pid, Cause: "secret memory (memfd_secret) is mapped"}, false)
	case strings.HasPrefix(name, "/memfd:"), strings.HasPrefix(name, "/SYSV"), strings.HasPrefix(name, "/dev/zero"), !strings.HasSuffix(name, deletedEnd):
	default:
		var st unix.Stat_t
		if unix.Stat(procPath(pid, "map_files/"+at), &st) == nil {
			s.removed(o, &st)
		}
	}
}

// checkState refuses a container without processes that CRIU could dump.
func (d *dump) checkState() error {
	status, err := d.status()
	if err != nil {
		return err
	}
	if status != StatusRunning && status != StatusPaused {
		return &worded{fmt.Sprintf("Container cannot be checkpointed in %s state", status), ErrNotRunning} // runc's text
	}
	d.paused = status == StatusPaused
	return d.checkOwn()
}

// String returns the obstacle on one line.
func (o *Obstacle) String() string {
	var b strings.Builder
	if o.Pid != 0 {
		fmt.Fprintf(&b, "process %d (%s): ", o.Pid, o.Command)
	}
	if o.Descriptor != nil {
		fmt.Fprintf(&b, "descriptor %d: ", *o.Descriptor)
	}
	if o.Path != "" {
		b.WriteString(o.Path + ": ")
	}
	b.WriteString(o.Cause)
	if o.Flag != "" {
		b.WriteString(": " + o.Flag + " is needed")
	}
	return b.String()
}
