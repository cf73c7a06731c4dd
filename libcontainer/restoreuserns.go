package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

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
	r.mapped, r.imageMode = clone, st.Mode&0o7777
	if err := unix.Fchmod(int(dir.Fd()), r.imageMode|0o010); err != nil {
		return &os.PathError{Op: "chmod", Path: dir.Name(), Err: err}
	}
	return nil
}

// closeImages undoes mapImages.
func (r *restoration) closeImages() {
	if r.mapped != nil {
		_ = unix.Fchmod(int(r.images.dir.Fd()), r.imageMode)
		r.mapped.Close()
	}
}

// hostRoot returns the host's id of the id 0 of a map.
func hostRoot(list []specs.LinuxIDMapping) (uint32, bool) {
	for _, m := range list {
		if m.ContainerID == 0 && m.Size > 0 {
			return m.HostID, true
		}
	}
	return 0, false
}

// compareMaps refuses a restored user namespace with other maps than those of the
// configuration: CRIU takes the maps from the images.
func compareMaps(pid int, spec *specs.Spec) error {
	if !asksForNew(spec, specs.UserNamespace) {
		return nil
	}
	return oneLine(errors.Join(
		compareMap(procPath(pid, "uid_map"), spec.Linux.UIDMappings),
		compareMap(procPath(pid, "gid_map"), spec.Linux.GIDMappings),
	))
}

func compareMap(file string, asked []specs.LinuxIDMapping) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var has, want []string
	for line := range strings.Lines(string(text)) {
		has = append(has, strings.Join(strings.Fields(line), " "))
	}
	for _, m := range asked {
		want = append(want, fmt.Sprintf("%d %d %d", m.ContainerID, m.HostID, m.Size))
	}
	slices.Sort(has) // the kernel sorts a long map
	slices.Sort(want)
	if !slices.Equal(has, want) {
		return fmt.Errorf("%s of the restored container is %q, and the configuration asks for %q", file, strings.Join(has, ", "), strings.Join(want, ", "))
	}
	return nil
}
