package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/bug"
	"github.com/onggi-dev/onggi/libcontainer/internal/criu"
	"github.com/onggi-dev/onggi/libcontainer/internal/deadline"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/state"
)

// ErrNoCRIU means that $PATH has no CRIU. Checkpoint and Restore run this program.
var ErrNoCRIU = criu.ErrNone

// ErrBeingDumped means that a checkpoint of the container is in progress.
var ErrBeingDumped = state.ErrBeingDumped

// CRIUOptions are the options that Checkpoint and Restore share. A restore needs
// the same flags as its checkpoint.
type CRIUOptions struct {
	ImagePath string // directory of the images; "" is "checkpoint" in the working directory
	WorkPath  string // directory of the log and the statistics; "" is ImagePath

	TCPEstablished bool // keep established TCP connections
	ExtUnixSockets bool // allow Unix sockets with a peer outside the container
	ShellJob       bool // allow a session or a terminal that belongs to the caller
	FileLocks      bool // keep file locks
	EmptyNetwork   bool // restore the network namespace empty
	AutoDedup      bool // remove pages from the parent's images that these images replace
	LazyPages      bool // restore memory on demand, by userfaultfd(2)
	// ManageCgroups tells CRIU how to treat the cgroups below the container's cgroup:
	// "soft", "full", "strict" or "ignore". "" means "ignore".
	ManageCgroups string
	// NetworkLock tells CRIU how to block packets of dumped connections: "iptables",
	// "nftables" or "skip". "" means nftables.
	NetworkLock string
}

// CheckpointOptions are the caller's options for Checkpoint.
type CheckpointOptions struct {
	CRIUOptions
	LeaveRunning    bool     // keep the container running; otherwise Checkpoint deletes it
	PreDump         bool     // write only memory pages, and keep the container running
	ParentPath      string   // images of an earlier PreDump, relative to ImagePath
	TCPSkipInFlight bool     // leave out TCP connections that are being established
	LinkRemap       bool     // link a removed file that has another hard link to a temporary name
	GhostLimit      uint32   // largest removed file to dump, in bytes; 0 means CRIU's default, 1 MiB
	PageServer      string   // ADDRESS:PORT of a page server, which receives the memory
	Status          *os.File // receives one NUL byte when CRIU can serve LazyPages
	SkipExec        bool     // do not warn about processes of Exec, which the images lack

	// PreDumpUntil makes Checkpoint write the memory repeatedly before the dump, while
	// the container runs. The container is then frozen only while CRIU writes the last
	// changes. The pre-dumps end at this goal, when they no longer shrink, or after 16
	// of them. Their images are in the directories pre-1, pre-2 and so on of ImagePath.
	// The kernel needs CONFIG_MEM_SOFT_DIRTY.
	PreDumpUntil PreDumpGoal
	// Progress is called at the begin of each phase, and then once a second.
	Progress func(CheckpointProgress)
}

// Checkpoint writes the container's processes to disk with CRIU, a program that has
// to be in $PATH. Then it deletes the container, unless the options say otherwise.
// Only root can checkpoint. CRIU freezes the container while it dumps. If Checkpoint
// fails or ctx ends, the container continues as before.
//
// Errors: ErrNoCRIU, ErrBeingDumped, ErrNotRunning, or a *CheckpointError.
func (c *Container) Checkpoint(ctx context.Context, o CheckpointOptions) (err error) {
	defer bug.Caught(&err)
	if err := c.acquire(); err != nil {
		return err
	}
	err = c.checkpoint(ctx, o)
	c.release()
	if err != nil || o.LeaveRunning || o.PreDump {
		return err
	}
	return c.Delete(ctx, true)
}

// CheckpointError is the failure of a dump or a restore.
type CheckpointError struct {
	Cause string // one line: the cause, after the process and the descriptor if CRIU's log names them
	Log   string // path of CRIU's log; "" if there is none yet
	Err   error
}

// Error returns the cause and the log's path on one line.
func (e *CheckpointError) Error() string {
	text := e.Cause
	if text == "" {
		text = e.Err.Error()
	}
	if e.Log != "" {
		text += "; log: " + e.Log
	}
	return strings.ReplaceAll(text, "\n", "; ")
}

// Unwrap returns the error of the conversation with CRIU.
func (e *CheckpointError) Unwrap() error { return e.Err }

// A dump is one checkpoint in progress.
type dump struct {
	*Container
	o      CheckpointOptions
	spec   *specs.Spec
	paused bool
	intent *state.Dump
	criu   string // path of the program
	images *imageDir
	work   *imageDir
	log    *os.File
	facts  *dumpFacts
	phase  string // for CheckpointProgress
	began  time.Time

	saved   *sync.WaitGroup // ends when the facts are on disk
	saveErr error
}

func (c *Container) checkpoint(ctx context.Context, o CheckpointOptions) error {
	d := &dump{Container: c, o: o, phase: "dump", began: time.Now(), saved: new(sync.WaitGroup)}
	if err := d.prepare(); err != nil {
		return err
	}
	defer d.close()
	if err := d.begin(ctx); err != nil {
		return err
	}
	err := d.preDumps(ctx)
	if err == nil {
		err = d.write(ctx)
	}
	if err != nil {
		err = errors.Join(err, d.thaw(ctx))
	}
	return errors.Join(err, d.intent.End())
}

// prepare runs all checks that need neither CRIU nor the container's processes.
func (d *dump) prepare() (err error) {
	if err := d.o.check(); err != nil {
		return err
	}
	if err := requireRoot(d.runtime); err != nil {
		return err
	}
	if err := d.checkState(); err != nil {
		return err
	}
	span := d.runtime.span("read the configuration")
	d.spec, err = d.Container.spec()
	span.EndWith(err)
	if err != nil {
		return err
	}
	if field, why := d.unrestorable(); why != "" {
		return &Failure{Field: field, Err: errors.New(why + "; --leave-running dumps it all the same")}
	}
	if err := d.checkOwners(); err != nil {
		return err
	}
	if d.criu, err = criu.Find(os.Getenv("PATH")); err != nil {
		return err
	}
	span = d.runtime.span("open the image directory")
	err = d.openDirs()
	span.EndWith(err)
	return err
}

// unrestorable returns the field of the configuration that Restore would refuse, and the
// reason. A dump that keeps the container loses nothing, so it needs no restore.
func (d *dump) unrestorable() (field, why string) {
	if d.o.LeaveRunning || d.o.PreDump {
		return "", ""
	}
	if asksForNew(d.spec, specs.UserNamespace) && (d.o.ParentPath != "" || d.o.PreDumpUntil != PreDumpGoal{}) {
		return "/linux/namespaces", "a container with a user namespace cannot be restored from pre-dumps: its root cannot search their directories"
	}
	return plan.Unrestorable(d.spec)
}

// requireRoot refuses a rootless runtime: CRIU needs the privileges of the host's root.
func requireRoot(r *Runtime) error {
	if r.rootless || os.Geteuid() != 0 {
		return fmt.Errorf("checkpoint and restore need the host's root: %w", unix.EPERM)
	}
	return nil
}

// check refuses options that contradict each other.
func (o *CheckpointOptions) check() error {
	if err := o.CRIUOptions.check(); err != nil {
		return err
	}
	if o.PreDump && o.LazyPages {
		return errors.New("--pre-dump and --lazy-pages exclude each other")
	}
	if err := o.checkGoal(); err != nil {
		return err
	}
	_, _, err := splitPageServer(o.PageServer)
	return err
}

func (o *CRIUOptions) check() error {
	if _, ok := cgroupModes[o.ManageCgroups]; !ok {
		return fmt.Errorf("invalid manage-cgroups-mode %q: want soft, full, strict or ignore", o.ManageCgroups)
	}
	if _, ok := networkLocks[o.NetworkLock]; !ok {
		return fmt.Errorf("invalid network-lock %q: want iptables, nftables or skip", o.NetworkLock)
	}
	return nil
}

var cgroupModes = map[string]rpc.CriuCgMode{
	"": rpc.CriuCgMode_IGNORE, "ignore": rpc.CriuCgMode_IGNORE, "soft": rpc.CriuCgMode_SOFT,
	"full": rpc.CriuCgMode_FULL, "strict": rpc.CriuCgMode_STRICT,
}

var networkLocks = map[string]rpc.CriuNetworkLockMethod{
	"": rpc.CriuNetworkLockMethod_NFTABLES, "nftables": rpc.CriuNetworkLockMethod_NFTABLES,
	"iptables": rpc.CriuNetworkLockMethod_IPTABLES, "skip": rpc.CriuNetworkLockMethod_SKIP,
}

// openDirs opens the directories of the images and of the log, and creates the log.
// It is the last check, because it creates files.
func (d *dump) openDirs() (err error) {
	if d.images, err = openImageDir(d.o.ImagePath, true); err != nil {
		return err
	}
	if err := d.images.checkParent(d.o.ParentPath); err != nil {
		d.images.close()
		return err
	}
	if err := d.checkParentName(); err != nil {
		d.images.close()
		return err
	}
	if d.work, err = d.images.workDir(d.o.WorkPath); err == nil {
		d.log, err = d.work.createLog("dump.log")
	}
	if err != nil {
		d.close()
	}
	return err
}

func (d *dump) close() {
	d.images.close()
	if d.work != nil && d.work != d.images {
		d.work.close()
	}
	if d.log != nil {
		d.log.Close()
	}
}

// begin writes the intent. Before that it thaws the container if a killed
// checkpoint left it frozen.
func (d *dump) begin(ctx context.Context) error {
	if d.paused {
		stillPaused, err := d.recover(ctx)
		if err != nil {
			return err
		}
		d.paused = stillPaused
	}
	intent, err := d.dir.BeginDump(d.paused)
	d.intent = intent
	return err
}

// write collects the facts and lets CRIU write the images.
func (d *dump) write(ctx context.Context) (err error) {
	span := d.runtime.span("look at the container's processes and mounts")
	d.facts, err = d.collect()
	span.EndWith(err)
	if err != nil {
		return err
	}
	if !d.o.PreDump {
		for _, w := range d.facts.warnings {
			d.runtime.warn(w)
		}
	}
	if err := d.images.dropParent(d.o.ParentPath); err != nil {
		return err
	}
	conn, peer, err := criu.Socket()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.Log = d.log
	span = d.runtime.span("start criu")
	process, err := criu.Spawn(d.criu, peer, d.log, d.held()...)
	peer.Close()
	span.EndWith(err)
	if err != nil {
		return err
	}
	defer func() {
		span := d.runtime.waiting("criu: end")
		process.Close()
		span.End()
	}()
	span = d.runtime.waiting("criu: version")
	err = conn.RequireVersion(ctx, process)
	span.EndWith(err)
	if err != nil {
		return d.failure(err)
	}
	if d.o.PreDump {
		if err := requireTracking(ctx, conn, process); err != nil {
			return err
		}
	}
	d.save()
	defer d.saved.Wait() // the goroutine uses the directory
	d.report()
	conn.Each, conn.Tick = reportTime, d.report
	span = d.runtime.waiting("criu: " + d.phase)
	_, err = conn.Do(ctx, process, d.request(), func(n criu.Notify) error {
		span.End()
		err := d.notified(n)
		span = d.runtime.waiting("criu: " + d.phase + " after " + n.Name)
		return err
	})
	span.EndWith(err)
	if err == nil {
		return nil
	}
	process.End() // CRIU must stop before the caller thaws the container
	return d.failure(err)
}

func (d *dump) failure(err error) error {
	return &CheckpointError{Cause: d.cause(err), Log: d.log.Name(), Err: err}
}

// held returns the descriptors that CRIU inherits after its socket. Their order
// defines statusNumber.
func (d *dump) held() []*os.File {
	if d.o.Status == nil {
		return []*os.File{d.intent.File}
	}
	return []*os.File{d.intent.File, d.o.Status}
}

// cause returns the cause of a failure: CRIU's log has it if CRIU itself failed.
func (d *dump) cause(err error) string {
	if !criu.Failed(err) {
		return "checkpoint: " + err.Error()
	}
	if why := criu.Cause(d.log); why != "" {
		return "checkpoint: " + why
	}
	return "checkpoint: " + err.Error()
}

// requireTracking refuses a pre-dump on a kernel that cannot track changed pages.
// CRIU 4.2 aborts with a failed assertion on such a kernel.
func requireTracking(ctx context.Context, conn *criu.Conn, p *criu.Process) error {
	yes, kind := true, rpc.CriuReqType_FEATURE_CHECK
	resp, err := conn.Do(ctx, p, &rpc.CriuReq{Type: &kind, KeepOpen: &yes, Features: &rpc.CriuFeatures{MemTrack: &yes}}, nil)
	if err != nil {
		return fmt.Errorf("ask criu for the kernel's features: %w", err)
	}
	if !resp.GetFeatures().GetMemTrack() {
		return errors.New("a pre-dump is not possible: the kernel cannot track changed pages: it has no CONFIG_MEM_SOFT_DIRTY")
	}
	return nil
}

// notified handles a notification of CRIU during the dump. After an error CRIU
// resumes the container.
func (d *dump) notified(n criu.Notify) error {
	if n.File != nil {
		n.File.Close()
	}
	if n.Name != "post-dump" || d.o.PreDump {
		return nil
	}
	d.saved.Wait()
	return d.saveErr
}

// save starts to write the facts. A disk needs several milliseconds for that, and CRIU
// works meanwhile.
func (d *dump) save() {
	if d.o.PreDump {
		return
	}
	d.saved.Go(func() {
		defer bug.Caught(&d.saveErr)
		d.saveErr = d.images.saveFacts(d.facts)
	})
}

// thaw returns the container to its state before a failed dump: running or paused.
// CRIU does so itself unless it was killed.
func (d *dump) thaw(ctx context.Context) error {
	if !d.paused {
		return d.runOn(ctx)
	}
	wait, stop := deadline.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	return d.cgroups().Freeze(wait)
}

// runOn thaws the container's cgroup if it is frozen.
func (c *Container) runOn(ctx context.Context) error {
	frozen, err := c.cgroups().Frozen()
	if err != nil || !frozen {
		return nil //nolint:nilerr // the cgroup disappears with the last process
	}
	wait, stop := deadline.Within(context.WithoutCancel(ctx), waitTime)
	defer stop()
	if err := c.cgroups().Thaw(wait); err != nil {
		return fmt.Errorf("the container is still frozen (onggi resume): %w", err)
	}
	return nil
}

// recover handles a frozen container. It looks for the intent of a checkpoint whose
// runtime and CRIU were both killed. If there is one, and the container was running
// before that checkpoint, recover thaws it. It reports whether the container stays
// paused.
func (c *Container) recover(ctx context.Context) (paused bool, err error) {
	left, err := c.dir.LeftDump()
	if err != nil || left == nil {
		return true, err
	}
	if !left.Paused {
		if err := c.runOn(ctx); err != nil {
			left.File.Close()
			return true, err
		}
	}
	return left.Paused, left.End()
}

// stays reports whether a frozen container is paused. It first thaws a container that
// a killed checkpoint left frozen. During a checkpoint the container counts as paused.
func (c *Container) stays() bool {
	paused, err := c.recover(context.Background())
	return paused || err != nil
}
