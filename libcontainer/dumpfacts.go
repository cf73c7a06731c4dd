package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// dumpFacts are the contents of onggi.json, a file beside CRIU's images. A restore
// needs these facts, and CRIU does not keep them.
type dumpFacts struct {
	Version     int           `json:"version"` // of this format: 1
	ID          string        `json:"id"`      // id of the container
	Kernel      string        `json:"kernel"`
	Descriptors [3]string     `json:"descriptors"` // links of descriptors 0, 1 and 2 of the first process
	Mounts      []dumpedMount `json:"mounts"`      // in the order of mountinfo
	Files       []dumpedFile  `json:"files,omitempty"`
	Namespaces  []dumpedJoin  `json:"namespaces,omitempty"`
	Threads     []threadFacts `json:"threads,omitempty"`
	Paused      bool          `json:"paused,omitempty"`
	UIDMap      []string      `json:"uidMap,omitempty"` // lines of /proc/PID/uid_map; none without a new user namespace
	GIDMap      []string      `json:"gidMap,omitempty"`
	warnings    []string
}

// dumpedMount is one mount of the container.
type dumpedMount struct {
	Point    string `json:"point"`
	Type     string `json:"type"`
	Options  string `json:"options"`
	Peers    string `json:"peers,omitempty"`
	External bool   `json:"external,omitempty"` // the restore provides its source
}

// dumpedFile is an open file of the host. The restore provides its replacement.
type dumpedFile struct {
	Key   string `json:"key"` // CRIU's name for it
	Path  string `json:"path"`
	Pid   int    `json:"pid"` // in the container
	FD    int    `json:"fd"`
	Flags int    `json:"flags"` // of open(2)
}

// dumpedJoin is a namespace that the container joined by its path.
type dumpedJoin struct {
	Type string `json:"type"`
	Key  string `json:"key"`
}

// threadFacts are attributes of a thread that CRIU does not restore.
type threadFacts struct {
	Tid        int      `json:"tid"` // in the container
	CPUs       []uint64 `json:"cpus"`
	IOPriority int      `json:"ioPriority,omitempty"`
	TimerSlack uint64   `json:"timerSlack,omitempty"`
}

// factsVersion is the version of onggi.json that this runtime writes and reads.
const factsVersion = 1

// collect reads the facts from procfs. The container keeps running meanwhile, unless
// it is paused. If a fact changes before CRIU freezes the container, CRIU fails and
// the container continues.
func (d *dump) collect() (*dumpFacts, error) {
	f := &dumpFacts{Version: factsVersion, ID: d.record.ID, Kernel: kernelRelease(), Paused: d.paused}
	if err := f.addMounts(d.record.Init.Pid); err != nil {
		return nil, err
	}
	pids, err := d.processes()
	if err != nil {
		return nil, err
	}
	// The first process comes first: a restore looks for its standard streams at descriptors 0 to 2.
	first := d.record.Init.Pid
	pids = append([]int{first}, slices.DeleteFunc(pids, func(pid int) bool { return pid == first })...)
	for _, pid := range pids {
		if err := f.addProcess(pid, first); err != nil && !isGone(err) {
			return nil, err
		}
	}
	f.addJoined(d.spec, d.record.Init.Pid)
	if asksForNew(d.spec, specs.UserNamespace) {
		if f.UIDMap, f.GIDMap, err = idMaps(first); err != nil {
			return nil, err
		}
	}
	if !d.o.SkipExec {
		f.warnings = append(f.warnings, d.outsiders(pids)...)
	}
	return f, nil
}

// isGone reports whether an error means that a process ended while collect read it.
// EINVAL is one of them: the kernel returns it for the mountinfo of an exiting
// process without a mount namespace.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func mountsOf(pid string) ([]criu.Mount, error) {
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	return criu.ParseMounts(string(text))
}

// addMounts records all mounts of the first process. It marks the external ones,
// which CRIU must not dump.
func (f *dumpFacts) addMounts(pid int) error {
	all, err := mountsOf(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	host, err := mountsOf("self")
	if err != nil {
		return err
	}
	_, external, err := criu.Externals(all, host)
	if err != nil {
		return err
	}
	outside := map[int]bool{}
	for _, m := range external {
		outside[m.ID] = true
	}
	for _, m := range all {
		f.Mounts = append(f.Mounts, dumpedMount{Point: m.Point, Type: m.Type, Options: m.Options, Peers: m.Peers, External: outside[m.ID]})
	}
	return nil
}

// addProcess records the open host files and the thread attributes of one process.
func (f *dumpFacts) addProcess(pid, first int) error {
	if pid == first {
		for n := range f.Descriptors {
			f.Descriptors[n], _ = os.Readlink(procPath(pid, "fd/"+strconv.Itoa(n)))
		}
	}
	if err := f.addFiles(pid); err != nil {
		return err
	}
	return f.addThreads(pid)
}

// addFiles records open files that are on no mount of the container.
func (f *dumpFacts) addFiles(pid int) error {
	mounts, err := mountsOf(strconv.Itoa(pid))
	if err != nil {
		return err
	}
	names, err := readDir(procPath(pid, "fd"))
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := hostFile(pid, name, mounts)
		if err != nil || file == nil {
			continue // closed meanwhile, or a file of the container
		}
		if !slices.ContainsFunc(f.Files, func(o dumpedFile) bool { return o.Key == file.Key }) {
			f.Files = append(f.Files, *file)
		}
	}
	return nil
}

func readDir(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// hostFile returns the file of a descriptor if the file is on no mount of the
// container, otherwise nil. Such a file comes from the runtime's caller, for instance
// as standard output. It may be a FIFO: CRIU treats a FIFO with a path like a regular
// file.
func hostFile(pid int, fd string, mounts []criu.Mount) (*dumpedFile, error) {
	path, err := os.Readlink(procPath(pid, "fd/"+fd))
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/memfd:") {
		return nil, err
	}
	info, err := os.ReadFile(procPath(pid, "fdinfo/"+fd))
	if err != nil {
		return nil, err
	}
	mount, flags := infoField(string(info), "mnt_id:", 10), infoField(string(info), "flags:", 8)
	for _, m := range mounts {
		if m.ID == mount {
			return nil, nil
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(procPath(pid, "fd/"+fd), &st); err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFCHR, unix.S_IFIFO:
	default:
		return nil, nil
	}
	n, err := strconv.Atoi(fd)
	return &dumpedFile{Key: fmt.Sprintf("file[%x:%x]", mount, st.Ino), Path: path, Pid: pidInside(pid), FD: n, Flags: flags}, err
}

func infoField(info, name string, base int) int {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), base, 64)
			if err == nil {
				return int(n)
			}
		}
	}
	return -1
}

// pidInside returns the pid of a process in its own pid namespace: the last number
// of the line NSpid (proc_pid_status(5)). It returns 0 if the process ended.
func pidInside(pid int) int {
	status, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(v)
			n, _ := strconv.Atoi(f[len(f)-1])
			return n
		}
	}
	return 0
}

// addThreads records the attributes of all threads of a process.
func (f *dumpFacts) addThreads(pid int) error {
	tids, err := readDir(procPath(pid, "task"))
	if err != nil {
		return err
	}
	for _, name := range tids {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		t := threadFacts{Tid: pidInside(tid)}
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) == nil {
			for _, word := range set {
				t.CPUs = append(t.CPUs, uint64(word))
			}
			t.CPUs = trimZeros(t.CPUs)
		}
		t.IOPriority = ioPriority(tid)
		if slack, err := os.ReadFile(procPath(tid, "timerslack_ns")); err == nil {
			t.TimerSlack, _ = strconv.ParseUint(strings.TrimSpace(string(slack)), 10, 64)
		}
		f.Threads = append(f.Threads, t)
	}
	return nil
}

func trimZeros(words []uint64) []uint64 {
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	return words
}

const ioprioWhoProcess = 1 // IOPRIO_WHO_PROCESS, ioprio_get(2)

func ioPriority(tid int) int {
	n, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(tid), 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// addJoined records the namespaces that the restore opens for CRIU. The keys are
// those that runc uses.
func (f *dumpFacts) addJoined(spec *specs.Spec, pid int) {
	if spec.Linux == nil {
		return
	}
	keys := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "extRootNetNS", specs.PIDNamespace: "extRootPidNS"}
	for _, n := range spec.Linux.Namespaces {
		if key := keys[n.Type]; key != "" && n.Path != "" {
			f.Namespaces = append(f.Namespaces, dumpedJoin{Type: nsFile(n.Type), Key: key})
		}
	}
}

// outsiders returns a warning for each process of exec. CRIU does not dump these,
// because their parents are outside the container. They end with the container.
func (d *dump) outsiders(pids []int) (warnings []string) {
	for _, pid := range pids {
		if pid == d.record.Init.Pid {
			continue
		}
		if st, err := proc.ReadStat(pid); err == nil && !slices.Contains(pids, st.PPid) {
			warnings = append(warnings, fmt.Sprintf("process %d (%s) was started by exec: it is not in the checkpoint", pid, st.Comm))
		}
	}
	return warnings
}
