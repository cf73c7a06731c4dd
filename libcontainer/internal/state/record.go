package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/onggi-dev/onggi/libcontainer/internal/proc"
)

// Record is state.json.
type Record struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"` // absolute
	Rootfs      string            `json:"rootfs"` // absolute
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Init is the zero Identity until there is a first process.
	Init     proc.Identity `json:"init,omitzero"`
	Rootless bool          `json:"rootless,omitempty"`
	PidFile  string        `json:"pidFile,omitempty"`
	// Namespaces are those joined by path, by their type in config.json.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	Cgroup     Cgroup            `json:"cgroup,omitzero"`
	// Intents are in the order of making; undo them backwards.
	Intents []Intent `json:"intents,omitempty"`
}

// Cgroup is where the container's cgroups are.
type Cgroup struct {
	Manager string   `json:"manager,omitempty"` // "cgroupfs", "systemd", "disabled"
	V1      []string `json:"v1,omitempty"`      // absolute directories, one a hierarchy
	Unified string   `json:"unified,omitempty"` // absolute directory in cgroup2
	Scope   string   `json:"scope,omitempty"`   // systemd's unit
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

// parseRecord is for bytes that anyone may have written over. The container's
// id, known from the directory, has to be the one inside.
func parseRecord(id string, data []byte) (*Record, error) {
	if hasNull(data) {
		return nil, errors.New("null is no value of any field")
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.ID != id {
		return nil, fmt.Errorf("/id: it is for container %q", r.ID)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

// hasNull finds the null that encoding/json would silently take for any field.
// An "n" outside of strings is in no other JSON token.
func hasNull(data []byte) bool {
	inString := false
	for i := 0; i < len(data); i++ {
		switch {
		case inString && data[i] == '\\':
			i++
		case data[i] == '"':
			inString = !inString
		case !inString && data[i] == 'n':
			return true
		}
	}
	return false
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
	return errors.Join(r.checkInit(), r.Cgroup.check(), r.checkIntents())
}

func (r *Record) checkInit() error {
	i := r.Init
	if i.IsZero() || i.Pid > 0 && i.BootID != "" && (i.PidfdInode != 0 || i.StartTime != 0) {
		return nil
	}
	return fmt.Errorf("/init: pid %d cannot be told from others by it", i.Pid)
}

// check keeps what is later written to and removed from being anywhere but
// where it says.
func (c Cgroup) check() error {
	for i, dir := range c.V1 {
		if !clean(dir) {
			return fmt.Errorf("/cgroup/v1/%d: %q is not a clean absolute path", i, dir)
		}
	}
	if c.Unified != "" && !clean(c.Unified) {
		return fmt.Errorf("/cgroup/unified: %q is not a clean absolute path", c.Unified)
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
	return filepath.IsAbs(path) && filepath.Clean(path) == path && !bytes.ContainsRune([]byte(path), 0)
}
