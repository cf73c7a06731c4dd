package libcontainer

import (
	"fmt"
	"os"
	"strconv"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// logLevel is CRIU's "debug": criu.Cause needs its lines about processes and descriptors.
const logLevel = int32(4)

// set returns a pointer for an optional field. For the zero value it returns nil, so
// an older CRIU does not receive a field that it does not know.
func set[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// request returns the options that the requests for dump and restore share.
func (o *CRIUOptions) request(images, work *os.File, log string) *rpc.CriuOpts {
	imagesFD, workFD, level, yes := int32(images.Fd()), int32(work.Fd()), logLevel, true
	mode, lock := cgroupModes[o.ManageCgroups], networkLocks[o.NetworkLock]
	r := &rpc.CriuOpts{
		ImagesDirFd: &imagesFD, WorkDirFd: &workFD, LogFile: &log, LogLevel: &level,
		TcpEstablished: set(o.TCPEstablished), ExtUnixSk: set(o.ExtUnixSockets), ShellJob: set(o.ShellJob), FileLocks: set(o.FileLocks),
		AutoDedup: set(o.AutoDedup), LazyPages: set(o.LazyPages),
		NotifyScripts: &yes, OrphanPtsMaster: &yes, EvasiveDevices: &yes,
		ManageCgroups: &yes, ManageCgroupsMode: &mode, NetworkLock: &lock,
	}
	if o.EmptyNetwork {
		r.EmptyNs = set(uint32(unix.CLONE_NEWNET))
	}
	return r
}

// configFile returns the path of a configuration file for CRIU, or nil. runc and crun
// define the annotation.
func configFile(spec *specs.Spec) *string {
	if name := spec.Annotations["org.criu.config"]; name != "" {
		return &name
	}
	for _, name := range []string{"/etc/criu/onggi.conf", "/etc/criu/runc.conf"} {
		if _, err := os.Stat(name); err == nil {
			return &name
		}
	}
	return nil
}

// request returns the request for a dump.
func (d *dump) request() *rpc.CriuReq {
	o := d.o.CRIUOptions
	o.EmptyNetwork = o.EmptyNetwork || d.newNamespace(specs.NetworkNamespace)
	r := o.request(d.images.dir, d.work.dir, "dump.log")
	r.Pid, r.Root, r.ConfigFile = set(int32(d.record.Init.Pid)), set(d.record.Rootfs), configFile(d.spec)
	r.LeaveRunning = set(d.o.LeaveRunning || d.o.PreDump)
	r.ParentImg, r.TrackMem = set(d.o.ParentPath), set(d.o.PreDump || d.o.ParentPath != "")
	r.TcpSkipInFlight, r.LinkRemap, r.GhostLimit = set(d.o.TCPSkipInFlight), set(d.o.LinkRemap), set(d.o.GhostLimit)
	r.FreezeCgroup = set(d.cgroups().FreezerDir())
	if address, port, _ := splitPageServer(d.o.PageServer); address != "" {
		r.Ps = &rpc.CriuPageServerInfo{Address: &address, Port: &port}
	}
	if d.o.Status != nil {
		r.StatusFd = set(int32(statusNumber))
	}
	d.addExternals(r)
	kind := rpc.CriuReqType_DUMP
	if d.o.PreDump {
		kind = rpc.CriuReqType_SINGLE_PRE_DUMP // PRE_DUMP expects further requests on the connection
	}
	return &rpc.CriuReq{Type: &kind, Opts: r}
}

// addExternals names the mounts, files and namespaces that the restore provides.
func (d *dump) addExternals(r *rpc.CriuOpts) {
	for _, m := range d.facts.Mounts {
		if m.External {
			r.ExtMnt = append(r.ExtMnt, &rpc.ExtMountMap{Key: &m.Point, Val: &m.Point})
		}
	}
	for _, f := range d.facts.Files {
		r.External = append(r.External, f.Key)
	}
	for _, n := range d.facts.Namespaces {
		var st unix.Stat_t
		if unix.Stat(procPath(d.record.Init.Pid, "ns/"+n.Type), &st) == nil {
			r.External = append(r.External, fmt.Sprintf("%s[%s]:%s", n.Type, strconv.FormatUint(st.Ino, 10), n.Key))
		}
	}
}

// newNamespace reports whether the configuration asks for a new namespace.
func (d *dump) newNamespace(t specs.LinuxNamespaceType) bool { return asksForNew(d.spec, t) }

func asksForNew(spec *specs.Spec, t specs.LinuxNamespaceType) bool {
	if spec.Linux == nil {
		return false
	}
	for _, n := range spec.Linux.Namespaces {
		if n.Type == t {
			return n.Path == ""
		}
	}
	return false
}

// statusNumber is the number of CheckpointOptions.Status in CRIU's process. It comes
// after the descriptors of criu.Spawn (0 to 3) and the lock of the intent (4).
const statusNumber = 5
