package libcontainer

import (
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
	Warn          func(msg string) // receives warnings; nil drops them
	// Trace records what every operation spends its time with; nil, the usual,
	// costs nothing.
	Trace *timeline.Recorder
}

// CreateOptions are what the caller of create decides beyond config.json.
type CreateOptions struct {
	Bundle        string                      // directory; "" is the working directory
	ConfigFile    string                      // "" is config.json in Bundle
	Spec          *specs.Spec                 // used in place of ConfigFile when set
	Stdin         *os.File                    // nil is /dev/null; the three are ignored when process.terminal is set
	Stdout        *os.File                    //
	Stderr        *os.File                    //
	ConsoleSocket string                      // unix socket that receives the pty master
	Console       func(master *os.File) error // receives and owns the pty master; in place of ConsoleSocket
	PidfdSocket   string                      // unix socket that receives a pidfd of the first process
	PidFile       string                      //
	NoPivot       bool                        // move the root over / and chroot, for a root on a ramdisk
	NoNewKeyring  bool                        //
	ExtraFiles    []*os.File                  // become 3, 4, … in the container
	ListenFDs     int                         // how many of ExtraFiles, from the first, are socket-activation descriptors
	NotifySocket  string                      // sd_notify socket of the caller, see Container.NotifyReady
}

// ExecOptions describe one more process in a container. Process, where set,
// is complete; otherwise the other fields are laid over the container's own
// process.
type ExecOptions struct {
	Process        *specs.Process
	Args           []string
	Cwd            string
	User           string // uid[:gid], digits only
	Env            []string
	AdditionalGids []uint32
	Caps           []string
	Tty            bool
	NoNewPrivs     bool
	ProcessLabel   string
	Apparmor       string
	Cgroup         []string // [controller[,controller]:]path, below the container's cgroup
	IgnorePaused   bool
	Stdin          *os.File
	Stdout         *os.File
	Stderr         *os.File
	ConsoleSocket  string
	Console        func(master *os.File) error
	PidfdSocket    string
	PidFile        string
	ExtraFiles     []*os.File
	Detach         bool
}

// State is what `state` and `list` print (runtime.md, "State").
type State struct {
	OCIVersion     string            `json:"ociVersion"`
	ID             string            `json:"id"`
	InitProcessPid int               `json:"pid"`
	Status         string            `json:"status"`
	Bundle         string            `json:"bundle"`
	Rootfs         string            `json:"rootfs"`
	Created        time.Time         `json:"created"`
	Annotations    map[string]string `json:"annotations,omitempty"`
	Owner          string            `json:"owner"`
}
