package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/engine"
	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

// mapImages makes the images readable in the new user namespace. CRIU's first process opens
// one before the namespace has its maps, as the host's root, and the others as the
// namespace's root. The image directory has mode 0700, so the latter has no access. In an
// id-mapped clone of the directory its group, 0, is the group of the namespace's root, and
// the group gets the search permission. The host's group 0 gets it too until closeImages.
// Other restores may use the same images: a shared flock(2) shows that they need the mode.
func (r *restoration) mapImages(ctx context.Context) error {
	if !asksForNew(r.config.Spec, specs.UserNamespace) {
		return nil
	}
	defer r.span("map the ids of the images").End()
	gid, ok := hostRoot(r.config.Spec.Linux.GIDMappings)
	if !ok {
		return &Failure{Field: "/linux/gidMappings", Err: errors.New("CRIU becomes the group 0 of the user namespace, which has no mapping")}
	}
	dir := r.images.dir
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstat", Path: dir.Name(), Err: err}
	}
	if st.Gid != 0 {
		return fmt.Errorf("%s belongs to group %d: CRIU opens the images in the user namespace, which needs a directory of group 0", dir.Name(), st.Gid)
	}
	clone, err := engine.CloneMapped(ctx, "onggi:"+r.id, dir, plan.Idmap{
		UIDs: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}}, GIDs: []specs.LinuxIDMapping{{ContainerID: 0, HostID: gid, Size: 1}},
	})
	if err != nil {
		return &Failure{Field: "/linux/namespaces", Err: fmt.Errorf("CRIU opens the images in the user namespace, which needs an id-mapped mount: %w", err)}
	}
	r.mapped = clone
	if err := r.shareImages(ctx); err != nil {
		return err
	}
	if st.Mode&groupSearch != 0 {
		return nil
	}
	if err := unix.Fchmod(int(dir.Fd()), st.Mode&0o7777|groupSearch); err != nil {
		return &os.PathError{Op: "chmod", Path: dir.Name(), Err: err}
	}
	return nil
}

const (
	groupSearch = 0o010               // search permission of the group
	granted     = 0o700 | groupSearch // mode that mapImages gives to the directory of a dump
)

// closeImages undoes mapImages, unless another restore uses the same images: the last one
// takes the permission away. A directory with other permissions has them from its owner.
func (r *restoration) closeImages() {
	if r.mapped == nil {
		return
	}
	r.mapped.Close()
	var st unix.Stat_t
	dir := r.images.dir
	if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Fstat(int(dir.Fd()), &st) == nil && st.Mode&0o7777 == granted {
		_ = unix.Fchmod(int(dir.Fd()), granted&^groupSearch)
	}
}

// shareImages takes the shared lock. Another restore holds the exclusive one for a few
// system calls of closeImages, so a lock that stays is somebody else's.
func (r *restoration) shareImages(ctx context.Context) error {
	dir := r.images.dir
	for deadline := time.Now().Add(sharePatience); ; {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != unix.EINTR && err != unix.EWOULDBLOCK || time.Now().After(deadline) {
			return &os.PathError{Op: "flock", Path: dir.Name(), Err: err}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

const sharePatience = 5 * time.Second

// hostRoot returns the host's id of the id 0 of a map.
func hostRoot(list []specs.LinuxIDMapping) (uint32, bool) {
	for _, m := range list {
		if m.ContainerID == 0 && m.Size > 0 {
			return m.HostID, true
		}
	}
	return 0, false
}

// idMaps returns the lines of a process's uid_map and gid_map (user_namespaces(7)).
func idMaps(pid int) (uids, gids []string, err error) {
	if uids, err = idMap(procPath(pid, "uid_map")); err != nil {
		return nil, nil, err
	}
	gids, err = idMap(procPath(pid, "gid_map"))
	return uids, gids, err
}

func idMap(file string) (lines []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines, nil
}

// checkDumpedMaps refuses images with other maps than those of the configuration, before
// CRIU starts: CRIU takes the maps from the images.
func (r *restoration) checkDumpedMaps() error {
	if r.facts == nil || len(r.facts.UIDMap)+len(r.facts.GIDMap) == 0 {
		return nil
	}
	return compareMaps("at the dump", r.facts.UIDMap, r.facts.GIDMap, r.config.Spec)
}

// checkMaps refuses a restored user namespace with other maps than those of the configuration.
func (r *restoration) checkMaps(pid int) error {
	if !asksForNew(r.config.Spec, specs.UserNamespace) {
		return nil
	}
	uids, gids, err := idMaps(pid)
	if err != nil {
		return err
	}
	return compareMaps("of the restored container", uids, gids, r.config.Spec)
}

func compareMaps(whose string, uids, gids []string, spec *specs.Spec) error {
	return oneLine(errors.Join(
		compareMap("/linux/uidMappings", "uid_map "+whose, uids, spec.Linux.UIDMappings),
		compareMap("/linux/gidMappings", "gid_map "+whose, gids, spec.Linux.GIDMappings),
	))
}

func compareMap(field, name string, has []string, asked []specs.LinuxIDMapping) error {
	var want []string
	for _, m := range asked {
		want = append(want, fmt.Sprintf("%d %d %d", m.ContainerID, m.HostID, m.Size))
	}
	has = slices.Sorted(slices.Values(has)) // the kernel sorts a long map
	slices.Sort(want)
	if slices.Equal(has, want) {
		return nil
	}
	return &Failure{Field: field, Err: fmt.Errorf("the %s is %q, and the configuration asks for %q", name, strings.Join(has, ", "), strings.Join(want, ", "))}
}
