package engine

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/plan"
)

func TestIDMapText(t *testing.T) {
	got := idMapText([]specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}, {ContainerID: 70000, HostID: 4294967294, Size: 1}})
	if want := "0 100000 65536\n70000 4294967294 1\n"; got != want {
		t.Errorf("idMapText = %q; want %q", got, want)
	}
}

// TestMapIDs maps a tree of the host twice: the kernel allows it only once.
func TestMapIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mapping a mount of the host takes root")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	source, err := openTree(dir, false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(source.fd)
	im := &newWalk(t.Context(), &plan.Plan{}, &Job{}).sources.idmaps
	defer im.close()
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 4242, Size: 1}}
	m := &plan.Idmap{UIDs: maps, GIDs: maps}
	if err := im.apply(source.fd, source.name, m); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(source.fd, "file", &st, 0); err != nil || st.Uid != 4242 || st.Gid != 4242 {
		t.Errorf("owner in the tree: %d:%d, %v; want 4242:4242", st.Uid, st.Gid, err)
	}
	err = im.apply(source.fd, source.name, m)
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "map the ids of "+dir) {
		t.Errorf("mapping it again: %v", err)
	}
	if len(im.mappings) != 1 {
		t.Errorf("%d user namespaces for one mapping", len(im.mappings))
	}
}

// TestMappingWithoutPtrace runs in an undumpable process, like the program onggi,
// and without CAP_SYS_PTRACE, so it may not inspect undumpable processes.
func TestMappingWithoutPtrace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a user namespace for any mapping takes root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends together with its reduced capabilities
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&head, &caps[0]); err != nil {
		t.Fatal(err)
	}
	caps[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
	caps[0].Permitted &^= 1 << unix.CAP_SYS_PTRACE
	if err := unix.Capset(&head, &caps[0]); err != nil {
		t.Fatal(err)
	}
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 4242, Size: 1}}
	ns, err := newMapping(t.Context(), "", &plan.Idmap{UIDs: maps, GIDs: maps})
	if err != nil {
		t.Fatal(err)
	}
	ns.Close()
}
