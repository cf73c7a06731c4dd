package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// credentials sets ids, capabilities, labels and the keyring.
type credentials struct{ *batches }

// maxCap is the highest capability for which the sets have a bit.
const maxCap = 63

// boundingSet drops all capabilities of the running kernel that are not kept,
// also those that this program does not know. EINVAL of an unknown capability
// ends the list.
func (cr *credentials) boundingSet(s plan.BoundingSet) error {
	var unknown []remote.Result
	for c := range maxCap + 1 {
		if s.Keep&(1<<c) != 0 {
			continue
		}
		r := cr.building.Prctl("PR_CAPBSET_DROP", unix.PR_CAPBSET_DROP, uint64(c)).Tolerate(unix.EINVAL)
		if c > unix.CAP_LAST_CAP {
			unknown = append(unknown, r)
		}
	}
	for _, r := range unknown {
		r.OnFailSkip()
	}
	return nil
}

func (cr *credentials) identity(s plan.Identity) error {
	list := remote.GroupList(s.Groups)
	large, err := cr.loadLarge(list)
	if err != nil {
		return err
	}
	b := cr.building
	if s.KeepCaps {
		b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 1)
	}
	cr.chownStdio(s)
	switch {
	case s.SetGroups && large != nil:
		b.SetgroupsLarge(*large)
		b.Unload(*large)
	case s.SetGroups:
		b.Setgroups(s.Groups)
	}
	b.Setresgid(s.GID)
	b.Setresuid(s.UID)
	b.SetDumpable(false)
	if s.KeepCaps {
		b.Prctl("PR_SET_KEEPCAPS", unix.PR_SET_KEEPCAPS, 0)
	}
	return nil
}

// loadLarge loads data into the stub that is too large for a batch. It returns
// nil for smaller data.
func (cr *credentials) loadLarge(p []byte) (*remote.Large, error) {
	if len(p) < remote.LargeData {
		return nil, nil
	}
	if err := cr.settle(); err != nil {
		return nil, err
	}
	large, err := cr.stub.LoadLarge(p)
	return &large, err
}

// chownStdio makes the user the owner of the standard streams, so that the
// program can open them again, for example as /dev/stderr. A failure leaves the
// owner as it is.
func (cr *credentials) chownStdio(s plan.Identity) {
	for i, f := range cr.job.Stdio {
		if !s.ChownStdio {
			cr.building.Fchown(remote.Inherited(i, "terminal"), s.UID, ^uint32(0)).TolerateAll()
			return // all three are the terminal
		}
		if f == nil || !givable(f, s.UID) {
			continue
		}
		cr.building.Fchown(remote.Inherited(i, "stdio"), s.UID, ^uint32(0)).TolerateAll()
	}
}

// givable reports whether a stream is a pipe or a terminal. Regular files and
// other devices belong to the caller or the host, and keep their owner.
func givable(f *os.File, uid uint32) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Uid == uid && uid == 0 {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return true
	case unix.S_IFCHR:
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		return err == nil
	}
	return false
}

func (cr *credentials) capabilities(s plan.Capabilities) error {
	b := cr.building
	b.Capset(s.Effective, s.Permitted, s.Inheritable)
	b.Prctl("PR_CAP_AMBIENT", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL).Tolerate(unix.EINVAL)
	for c := range maxCap + 1 {
		if s.Ambient&(1<<c) != 0 {
			b.Prctl("PR_CAP_AMBIENT", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(c))
		}
	}
	return nil
}
