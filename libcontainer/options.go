package libcontainer

import (
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Options are the settings of a Runtime. The zero value is usable.
type Options struct {
	Root          string           // state root; "" is DefaultRoot()
	CgroupManager string           // "cgroupfs" (the default), "systemd" or "disabled"
	Rootless      *bool            // nil: true unless the caller is root outside of user namespaces
	Warn          func(msg string) // receives warnings, from several goroutines at once; nil drops them
	// Trace records the time that the parts of every operation take. nil is the usual
	// value and costs nothing.
	Trace *timeline.Recorder
}

// CreateOptions are the decisions of the caller that are not in config.json.
//
// Files stay the caller's, which may close them as soon as Create has returned. Create
// puts them into blocking mode, as os/exec does. A closed file is an error
// (os.ErrClosed).
type CreateOptions struct {
	Bundle        string                      // directory; "" is the working directory
	ConfigFile    string                      // "" is config.json in Bundle
	Spec          *specs.Spec                 // used in place of ConfigFile when set; it is copied
	Stdin         *os.File                    // nil is /dev/null; the three are ignored when process.terminal is set
	Stdout        *os.File                    //
	Stderr        *os.File                    //
	ConsoleSocket string                      // unix socket that receives the pty master
	Console       func(master *os.File) error // receives and owns the pty master, before Create returns; not used if ConsoleSocket is set
	PidfdSocket   string                      // unix socket that receives a pidfd of the first process
	PidFile       string                      // file that receives the host's pid of the first process, without a line end
	NoPivot       bool                        // move the root over / and chroot in place of pivot_root(2), for a root on a ramdisk
	NoNewKeyring  bool                        // stay in the caller's session keyring
	ExtraFiles    []*os.File                  // become 3, 4, … in the container; nil leaves a number closed
	ListenFDs     int                         // how many of ExtraFiles, from the first, are socket-activation descriptors
	NotifySocket  string                      // sd_notify socket of the caller, see Container.NotifyReady
}

// ExecOptions describe one more process in a container. If Process is set, it is
// complete, and the fields from Args to Apparmor are ignored. Otherwise these fields are
// laid over the container's own process. Files are treated as in CreateOptions.
type ExecOptions struct {
	Process        *specs.Process
	Args           []string // the program is looked up in the container, by its PATH
	Cwd            string   // "" is the container's
	User           string   // uid[:gid], digits only; "" and a missing gid are the container's
	Env            []string // NAME=VALUE, added to the container's
	AdditionalGids []uint32 // added to the container's
	Caps           []string // CAP_…, added to the bounding, effective and permitted sets, and to the ambient set if there is an inheritable set
	Tty            bool     // as process.terminal
	NoNewPrivs     bool     // false is the container's
	ProcessLabel   string   // SELinux label; "" is the container's
	Apparmor       string   // AppArmor profile; "" is the container's

	Cgroup        []string                    // [controller[,controller]:]path, below the container's cgroup
	IgnorePaused  bool                        // do not refuse a paused container: Exec then waits until it is resumed
	Stdin         *os.File                    // nil is /dev/null; the three are ignored with a terminal
	Stdout        *os.File                    //
	Stderr        *os.File                    //
	ConsoleSocket string                      // unix socket that receives the pty master
	Console       func(master *os.File) error // receives and owns the pty master, before Exec returns; not used if ConsoleSocket is set
	PidfdSocket   string                      // unix socket that receives a pidfd of the process
	PidFile       string                      // file that receives the host's pid of the process, without a line end
	ExtraFiles    []*os.File                  // become 3, 4, … in the container
}

// checkFiles returns an error for a file that the caller has closed. Otherwise its
// descriptor would be missing in the container, or would be another file.
func checkFiles(extra []*os.File, stdio ...*os.File) error {
	for _, f := range append(stdio, extra...) {
		if f == nil {
			continue
		}
		if conn, err := f.SyscallConn(); err != nil || conn.Control(func(uintptr) {}) != nil {
			return fmt.Errorf("file %s for the container: %w", f.Name(), os.ErrClosed)
		}
	}
	return nil
}

// checkFiles checks the files that are passed at create.
func (o *CreateOptions) checkFiles() error {
	if o.ListenFDs < 0 || o.ListenFDs > len(o.ExtraFiles) {
		return fmt.Errorf("%d of %d descriptors cannot be for socket activation", o.ListenFDs, len(o.ExtraFiles))
	}
	return checkFiles(o.ExtraFiles, o.Stdin, o.Stdout, o.Stderr)
}

// State is the output of `state` and `list` (runtime.md, "State").
type State struct {
	OCIVersion     string            `json:"ociVersion"` // of the configuration
	ID             string            `json:"id"`
	InitProcessPid int               `json:"pid"`     // host's pid; 0 before there is a first process and after its end
	Status         string            `json:"status"`  // StatusCreating to StatusStopped
	Bundle         string            `json:"bundle"`  // absolute
	Rootfs         string            `json:"rootfs"`  // absolute, symlinks followed
	Created        time.Time         `json:"created"` // in UTC
	Annotations    map[string]string `json:"annotations,omitempty"`
	Owner          string            `json:"owner"` // user who created it: the name, or "#" and the uid; only List sets it
}
