package engine

import (
	"path"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
	"github.com/onggi-dev/onggi/libcontainer/internal/remote"
)

// stage covers plan.StageDir with a tmpfs in the stub's mount namespace and attaches
// the two clones of plan.Stage in it. CRIU needs paths, and for the root file system
// a mount whose parent is not covered. The stub makes the clones first, because the
// root file system may lie below plan.StageDir.
func (r *rootfs) stage(s plan.Stage) {
	b := r.building
	tree, root := b.OpenTree(r.root, "", true), b.OpenTree(r.root, "", false)
	ctx := b.Fsopen("tmpfs")
	mode := "700"
	if s.Open {
		mode = "711"
	}
	b.FsconfigString(ctx, "mode", mode)
	b.FsconfigCreate(ctx)
	tmp := b.Fsmount(ctx, "stage", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	b.Close(ctx)
	at := b.Open(plan.StageDir, unix.O_PATH|unix.O_DIRECTORY)
	b.MoveMount(tmp, at)
	b.Close(at)
	r.attachStaged(tmp, plan.StageTree, tree)
	r.attachStaged(tmp, plan.StageRoot, root)
	b.Close(tmp)
	b.Chdir("/")
}

func (r *rootfs) attachStaged(tmp *remote.FD, place string, m *remote.FD) {
	b, name := r.building, path.Base(place)
	b.Mkdirat(tmp, name, 0o700)
	at := b.Openat2(tmp, name, unix.O_PATH, 0, remote.Beneath)
	b.MoveMount(m, at)
	b.Close(at)
	b.Close(m)
}
