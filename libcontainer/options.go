package libcontainer

import (
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/timeline"
)

// Options say where containers live and how their cgroups are managed.
type Options struct {
	Root          string           // state root; "" is DefaultRoot()
	CgroupManager string           // "cgroupfs" (the default), "systemd" or "disabled"
	Rootless      *bool            // nil: found out
	Warn          func(msg string) // receives warnings, from several goroutines at once; nil drops them
	// Trace records what every operation spends its time with; nil, the usual,
	// costs nothing.
	Trace *timeline.Recorder
}

// CreateOptions are what the caller of create decides beyond config.json.
//
// Files stay the caller's, who may close them as soon as Create has returned.
// They are put into blocking mode, as os/exec does with those of its commands;
// one that is closed is an error.
type CreateOptions struct {
	Bundle        string                      // directory; "" is the working directory
	ConfigFile    string                      // "" is config.json in Bundle
	Spec          *specs.Spec                 // used in place of ConfigFile when set; it is copied
	Stdin         *os.File                    // nil is /dev/null; the three are ignored when process.terminal is set
	Stdout        *os.File                    //
	Stderr        *os.File                    //
	ConsoleSocket string                      // unix socket that receives the pty master
	Console       func(master *os.File) error // receives and owns the pty master, before Create returns; in place of ConsoleSocket, which goes first
	PidfdSocket   string                      // unix socket that receives a pidfd of the first process
	PidFile       string                      // receives its host's number, without a line end
	NoPivot       bool                        // move the root over / and chroot, for a root on a ramdisk
	NoNewKeyring  bool                        // stay in the caller's session keyring
	ExtraFiles    []*os.File                  // become 3, 4, … in the container; nil leaves a number closed
	ListenFDs     int                         // how many of ExtraFiles, from the first, are socket-activation descriptors
	NotifySocket  string                      // sd_notify socket of the caller, see Container.NotifyReady
}

// ExecOptions describe one more process in a container. Process, where set,
// is complete, and the fields from Args to Apparmor are ignored; otherwise these
// are laid over the container's own process. Files are as those of
// CreateOptions.
type ExecOptions struct {
	Process        *specs.Process
	Args           []string // the program is looked up in the container, by its PATH
	Cwd            string   // "" is the container's
	User           string   // uid[:gid], digits only; what is left out is the container's
	Env            []string // NAME=VALUE, added to the container's
	AdditionalGids []uint32 // added to the container's
	Caps           []string // CAP_…, added to the bounding, effective and permitted set, and to the ambient one where there is an inheritable one
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
	Console       func(master *os.File) error // receives and owns the pty master, before Exec returns
	PidfdSocket   string                      // unix socket that receives a pidfd of the process
	PidFile       string                      // receives its host's number
	ExtraFiles    []*os.File                  // become 3, 4, … in the container
}

// checkFiles finds files of the caller's that are closed. In the container the
// descriptor would be missing, or another.
func checkFiles(extra []*os.File, stdio ...*os.File) error {
	for _, f := range append(stdio, extra...) {
		if f == nil {
			continue
		}
		if conn, err := f.SyscallConn(); err != nil || conn.Control(func(uintptr) {}) != nil {
			return fmt.Errorf("%s, which is to be passed to the container: %w", f.Name(), os.ErrClosed)
		}
	}
	return nil
}

// checkFiles is for what is passed at create.
func (o *CreateOptions) checkFiles() error {
	if o.ListenFDs < 0 || o.ListenFDs > len(o.ExtraFiles) {
		return fmt.Errorf("%d of %d descriptors cannot be for socket activation", o.ListenFDs, len(o.ExtraFiles))
	}
	return checkFiles(o.ExtraFiles, o.Stdin, o.Stdout, o.Stderr)
}

// State is what `state` and `list` print (runtime.md, "State").
type State struct {
	OCIVersion     string            `json:"ociVersion"` // of the configuration
	ID             string            `json:"id"`
	InitProcessPid int               `json:"pid"`     // the host's; 0 before there is a first process, and once it has ended
	Status         string            `json:"status"`  // StatusCreating to StatusStopped
	Bundle         string            `json:"bundle"`  // absolute
	Rootfs         string            `json:"rootfs"`  // absolute, links followed
	Created        time.Time         `json:"created"` // in UTC
	Annotations    map[string]string `json:"annotations,omitempty"`
	Owner          string            `json:"owner"` // who made it, by name, "#" and the uid without one; from List alone
}
