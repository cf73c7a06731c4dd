package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Record is state.json: encode and parseRecord write and read it, the tags are
// for other tools and for the tests.
type Record struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Init is the zero Identity until there is a first process.
	Init proc.Identity `json:"init,omitzero"`
	// Creating is the process that will be Init, for who has to end it: nobody may
	// enter or start what is being set up. It is there where no cgroup tells.
	Creating proc.Identity `json:"creating,omitzero"`
	Rootless bool          `json:"rootless,omitempty"`
	// NoNewKeyring: the processes stay in the session keyring of their caller.
	NoNewKeyring bool   `json:"noNewKeyring,omitempty"`
	PidFile      string `json:"pidFile,omitempty"`
	// NotifySocket is the service manager's, of the caller of create.
	NotifySocket string `json:"notifySocket,omitempty"`
	// Namespaces are those joined by path, by their type in config.json.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	Cgroup     Cgroup            `json:"cgroup,omitzero"`
	// Resctrl are the directories of resctrl that its processes are in.
	Resctrl []string `json:"resctrl,omitempty"`
	// Intents are in the order of making; undo them backwards.
	Intents []Intent `json:"intents,omitempty"`
}

// Cgroup is where the container's cgroups are.
type Cgroup struct {
	Manager string       `json:"manager,omitempty"` // "cgroupfs", "systemd", "disabled"
	V1      []CgroupPath `json:"v1,omitempty"`      // one a hierarchy
	Unified *CgroupPath  `json:"unified,omitempty"` // in cgroup2
	Scope   string       `json:"scope,omitempty"`   // systemd's unit
}

// CgroupPath is a directory of one hierarchy: what it takes to find it again
// without looking the host's hierarchies up.
type CgroupPath struct {
	Controllers []string `json:"controllers,omitempty"` // none for cgroup2
	Mountpoint  string   `json:"mountpoint"`
	Root        string   `json:"root,omitempty"` // what of the hierarchy shows there
	Path        string   `json:"path"`           // from the mountpoint
}

// Kind says what an Intent makes, and so how it is undone.
type Kind string

// What create makes that outlives it.
const (
	CgroupDir  Kind = "cgroup"  // directory: rmdir with its sub-cgroups
	ResctrlDir Kind = "resctrl" // directory: rmdir
	Scope      Kind = "scope"   // systemd unit: stop
	PidFile    Kind = "pidfile" // file: left for the engine after success, unlinked after a failed create
)

// Intent is one thing that was about to be made. It may not have been.
type Intent struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // absolute path; the unit's name for Scope
}

func (r *Record) check() error {
	switch {
	case r.OCIVersion == "":
		return errors.New("/ociVersion: missing")
	case r.Created.IsZero():
		return errors.New("/created: missing")
	case !clean(r.Bundle):
		return fmt.Errorf("/bundle: %q is not a clean absolute path", r.Bundle)
	case !clean(r.Rootfs):
		return fmt.Errorf("/rootfs: %q is not a clean absolute path", r.Rootfs)
	}
	return errors.Join(checkIdentity("/init", r.Init), checkIdentity("/creating", r.Creating), r.Cgroup.check(), r.checkResctrl(), r.checkIntents())
}

func checkIdentity(at string, i proc.Identity) error {
	if i.IsZero() || i.Pid > 0 && i.BootID != "" && (i.PidfdInode != 0 || i.StartTime != 0) {
		return nil
	}
	return fmt.Errorf("%s: pid %d cannot be told from others by it", at, i.Pid)
}

// check keeps what is later written to and removed from being anywhere but
// where it says.
func (c Cgroup) check() error {
	for i := range c.V1 {
		if err := c.V1[i].check(); err != nil {
			return fmt.Errorf("/cgroup/v1/%d%w", i, err)
		}
	}
	if c.Unified != nil {
		if err := c.Unified.check(); err != nil {
			return fmt.Errorf("/cgroup/unified%w", err)
		}
	}
	return nil
}

func (d *CgroupPath) check() error {
	if !clean(d.Mountpoint) {
		return fmt.Errorf("/mountpoint: %q is not a clean absolute path", d.Mountpoint)
	}
	if !clean(d.Path) || d.Path == "/" {
		return fmt.Errorf("/path: %q is not a clean absolute path below the root", d.Path)
	}
	return nil
}

func (r *Record) checkResctrl() error {
	for i, dir := range r.Resctrl {
		if !clean(dir) {
			return fmt.Errorf("/resctrl/%d: %q is not a clean absolute path", i, dir)
		}
	}
	return nil
}

func (r *Record) checkIntents() error {
	for i, n := range r.Intents {
		switch n.Kind {
		case CgroupDir, ResctrlDir, PidFile:
			if !clean(n.Name) {
				return fmt.Errorf("/intents/%d/name: %q is not a clean absolute path", i, n.Name)
			}
		case Scope:
			if n.Name == "" {
				return fmt.Errorf("/intents/%d/name: missing", i)
			}
		default:
			return fmt.Errorf("/intents/%d/kind: %q is not known", i, n.Kind)
		}
	}
	return nil
}

func clean(path string) bool {
	plain := !strings.Contains(path, "/.") && !strings.Contains(path, "//") && !strings.HasSuffix(path, "/")
	return filepath.IsAbs(path) && (plain || filepath.Clean(path) == path) && !strings.Contains(path, "\x00")
}
