package state

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Record is the contents of state.json. encode writes it and parseRecord reads it. The tags
// are for other tools and for the tests.
type Record struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Init is the zero Identity until there is a first process.
	Init proc.Identity `json:"init,omitzero"`
	// Creating is the process that will become Init, recorded for a delete that has to
	// kill it. No other verb may use it: nobody may enter or start a container during
	// its set-up. It is set if there is no cgroup in which to find the process.
	Creating proc.Identity `json:"creating,omitzero"`
	Rootless bool          `json:"rootless,omitempty"`
	// NoNewKeyring says that the processes stay in their caller's session keyring.
	NoNewKeyring bool `json:"noNewKeyring,omitempty"`
	// NotifySocket is the service manager's socket, from the caller of create.
	NotifySocket string `json:"notifySocket,omitempty"`
	Cgroup       Cgroup `json:"cgroup,omitzero"`
	// Resctrl are the resctrl directories of the container's processes.
	Resctrl []string `json:"resctrl,omitempty"`
	// Intents are in the order in which they are made.
	Intents []Intent `json:"intents,omitempty"`
}

// Cgroup is the place of the container's cgroups.
type Cgroup struct {
	Manager string       `json:"manager,omitempty"` // "cgroupfs", "systemd", "disabled"
	V1      []CgroupPath `json:"v1,omitempty"`      // one for each hierarchy
	Unified *CgroupPath  `json:"unified,omitempty"` // in cgroup2
	Scope   string       `json:"scope,omitempty"`   // name of the systemd unit
}

// CgroupPath is a directory of one hierarchy. It has everything that is needed to find the
// directory again without a look at the host's hierarchies.
type CgroupPath struct {
	Controllers []string `json:"controllers,omitempty"` // empty for cgroup2
	Mountpoint  string   `json:"mountpoint"`
	Root        string   `json:"root,omitempty"` // directory of the hierarchy that is mounted there
	Path        string   `json:"path"`           // from the mountpoint
}

// Kind is the kind of object that an Intent creates. It decides about the undo.
type Kind string

// The things that create makes and that outlive it.
const (
	CgroupDir  Kind = "cgroup"  // directory: rmdir with its sub-cgroups
	ResctrlDir Kind = "resctrl" // directory: rmdir
	Scope      Kind = "scope"   // systemd unit: stop
	// PivotDir is the directory for the old root during a restore: rmdir. The name may be a
	// template of mkdtemp(3).
	PivotDir Kind = "pivot"
)

// Intent is one thing that create was about to make. It may not exist.
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

// check refuses paths that could lead elsewhere: the runtime will write to the cgroup and
// remove it.
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
		case CgroupDir, ResctrlDir, PivotDir:
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
