package engines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies returns the mount points of the machine's cgroup hierarchies: one on pure v2, otherwise many.
func hierarchies() []string {
	var fs unix.Statfs_t
	if unix.Statfs(cgroupRoot, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{cgroupRoot}
	}
	var dirs []string
	procs, _ := filepath.Glob(cgroupRoot + "/*/cgroup.procs")
	for _, file := range procs {
		if info, err := os.Lstat(filepath.Dir(file)); err == nil && info.IsDir() { // cpuacct may be a link to cpu,cpuacct
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	return dirs
}

// enterCgroup moves this process to a new cgroup in every hierarchy. The sandbox starts there, takes it for the root, and
// cannot leave anything elsewhere. The returned function moves back and removes the leftovers of the sandbox.
func enterCgroup(name string) (leave func() error, err error) {
	var homes []string
	all := hierarchies()
	for _, root := range all {
		homes = append(homes, filepath.Join(root, ownCgroup(root)))
	}
	for i, root := range all {
		dir := filepath.Join(homes[i], name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		if filepath.Base(root) == "cpuset" {
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := copyFile(filepath.Join(homes[i], file), filepath.Join(dir, file)); err != nil {
					return nil, err
				}
			}
		}
		if err := join(dir); err != nil {
			return nil, err
		}
	}
	return func() error {
		for i := range all {
			if err := join(homes[i]); err != nil {
				return err
			}
			if err := removeCgroup(filepath.Join(homes[i], name)); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// ownCgroup returns this process's cgroup in the hierarchy at root, from /proc/self/cgroup.
func ownCgroup(root string) string {
	data, _ := os.ReadFile("/proc/self/cgroup")
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		name := strings.TrimPrefix(parts[1], "name=")
		if name == filepath.Base(root) || name == "" && (root == cgroupRoot || filepath.Base(root) == "unified") {
			return parts[2]
		}
	}
	return "/"
}

func join(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// removeCgroup removes dir and the cgroups below it. Ending processes may keep it for a moment.
func removeCgroup(dir string) error {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeCgroup(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(slowly(5 * time.Second)); ; time.Sleep(5 * time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			return err
		}
	}
}

// furnish prepares the sandbox: it mounts overlays on the directories that engines write to, and installs the runtimes.
func furnish(runtimes []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(env.dir, "pages"), os.DirFS("../../docs/engines")); err != nil {
		return err
	}
	if err := copyFile("../../README.md", filepath.Join(env.dir, "pages", "project.md")); err != nil {
		return err
	}
	for _, path := range runtimes {
		if err := copyFile(path, filepath.Join(env.dir, filepath.Base(path))); err != nil {
			return err
		}
	}
	tree := os.Getenv("TREE")
	extras := []string{filepath.Join(env.dir, "..", installed, "usr/local/sbin", onggiShim), "../../bin/crictl", "../../bin/debian.tar", filepath.Join(env.dir, "..", installed, "usr/local/share/onggi/podman.conf")}
	if tree == "" { // its libraries are on the machine, and a tree has a CRIU of its own
		extras = append(extras, "../../bin/peers/criu")
	}
	for _, extra := range extras {
		err := copyFile(extra, filepath.Join(env.dir, filepath.Base(extra)))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // all but the shim and the configuration are there if make was asked for them
			return err
		}
	}
	if tree != "" {
		if err := enterTree(tree); err != nil {
			return fmt.Errorf("%s: %w", tree, err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return err
	}
	for _, dir := range []string{"/etc", "/var", "/usr/local/sbin"} {
		if err := overlay(dir); err != nil {
			return fmt.Errorf("overlay on %s: %w", dir, err)
		}
	}
	for _, name := range []string{"containerd", "containers", "docker", "kubelet"} {
		if err := storage(name); err != nil {
			return fmt.Errorf("storage of %s: %w", name, err)
		}
	}
	for dir, mode := range map[string]string{"/run": "mode=0755", "/dev/shm": "mode=1777"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, mode); err != nil {
			return fmt.Errorf("tmpfs on %s: %w", dir, err)
		}
	}
	if err := openTun(); err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	if err := endHierarchies(); err != nil {
		return fmt.Errorf("cgroups without a mount: %w", err)
	}
	if err := remountCgroups(); err != nil {
		return fmt.Errorf("cgroups: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil { // as systemd has it
		return err
	}
	return install()
}

// enterTree makes a Debian in a directory the root, for newer engines than the machine's.
func enterTree(tree string) error {
	root := filepath.Join(env.dir, "root")
	if err := errorsOf(os.Mkdir(root, 0o755), overlayAt(tree, root)); err != nil {
		return err
	}
	for dir, flags := range map[string]uintptr{"/dev": unix.MS_REC, "/sys": unix.MS_REC, env.dir: 0} {
		point := filepath.Join(root, dir)
		if err := errorsOf(os.MkdirAll(point, 0o755), unix.Mount(dir, point, "", unix.MS_BIND|flags, "")); err != nil {
			return err
		}
	}
	return errorsOf(
		unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""),
		unix.Chdir(root),
		unix.PivotRoot(".", "."),
		unix.Unmount(".", unix.MNT_DETACH),
		unix.Chdir("/"))
}

// systemName returns the distribution of the engines.
func systemName() string {
	data, _ := os.ReadFile("/etc/os-release")
	for _, line := range strings.Split(string(data), "\n") {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "unknown system"
}

// storage gives an engine /var/lib/NAME on the disk: an overlay cannot be the upper layer of the engine's own overlay, and its
// files cannot be in id-mapped mounts.
func storage(name string) error {
	private, dir := filepath.Join(env.dir, name), filepath.Join("/var/lib", name)
	if err := errorsOf(os.Mkdir(private, 0o711), os.MkdirAll(dir, 0o711)); err != nil {
		return err
	}
	return unix.Mount(private, dir, "", unix.MS_BIND, "")
}

// overlay makes dir writable without changing it.
func overlay(dir string) error { return overlayAt(dir, dir) }

// overlayAt mounts a writable overlay of the directory lower at point. Its upper directory is on the disk.
func overlayAt(lower, point string) error {
	private := filepath.Join(env.dir, "overlay", lower)
	upper, work := filepath.Join(private, "upper"), filepath.Join(private, "work")
	if err := errorsOf(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	return unix.Mount("overlay", point, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work))
}

// endHierarchies ends the v1 hierarchies that are mounted nowhere. If the last cgroup of a hierarchy was still dying at the
// unmount, the kernel keeps the hierarchy until another mount and unmount. containerd takes all hierarchies of
// /proc/PID/cgroup for mounted.
func endHierarchies() error {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	point := filepath.Join(env.dir, "hierarchy")
	if err := os.Mkdir(point, 0o755); err != nil {
		return err
	}
	mounted := func(name string) bool {
		return slices.ContainsFunc(hierarchies(), func(dir string) bool { return filepath.Base(dir) == name })
	}
	for line := range strings.Lines(string(data)) {
		controllers := strings.SplitN(line, ":", 3)[1]
		name, named := strings.CutPrefix(controllers, "name=")
		if name == "" || mounted(name) {
			continue
		}
		if named {
			controllers = "none," + controllers
		}
		if err := errorsOf(unix.Mount("cgroup", point, "cgroup", 0, controllers), unix.Unmount(point, 0)); err != nil {
			return fmt.Errorf("%s: %w", controllers, err)
		}
	}
	return nil
}

// remountCgroups shows the sandbox its own cgroups only. crun refuses a v2 hierarchy beside v1 ones, so it gets none.
func remountCgroups() error {
	for _, dir := range hierarchies() {
		name := filepath.Base(dir)
		fstype, options := "cgroup", name
		switch {
		case dir == cgroupRoot || name == "unified":
			fstype, options = "cgroup2", ""
		case name == "systemd":
			options = "none,name=systemd"
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return err
		}
		if name == "unified" && slices.Contains(env.kinds, "crun") {
			continue
		}
		if err := unix.Mount("cgroup", dir, fstype, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// openTun lets everybody have network devices, as udev does: rootless networks need it.
func openTun() error {
	const tun = "/dev/net/tun"
	if _, err := os.Stat(tun); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	node := filepath.Join(env.dir, "tun")
	return errorsOf(
		unix.Mknod(node, unix.S_IFCHR, int(unix.Mkdev(10, 200))),
		os.Chmod(node, 0o666),
		unix.Mount(node, tun, "", unix.MS_BIND, ""))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// install installs the runtimes at the paths of docs/engines. The runtime under test is also installed as `runc`: BuildKit
// has no setting for the runtime, and `ctr --uidmap` ignores it. The rest of PATH has Debian's programs.
func install() error {
	const bin = "/usr/local/sbin"
	for _, name := range append(slices.Clone(env.kinds), "crictl", "criu", onggiShim) {
		path := filepath.Join(bin, name)
		err := errorsOf(copyFile(filepath.Join(env.dir, name), path), os.Chmod(path, 0o755))
		if err != nil && (slices.Contains(env.kinds, name) || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	if !slices.Contains(env.kinds, "runc") {
		if err := os.Symlink(env.kind, filepath.Join(bin, "runc")); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", bin+":/usr/sbin:/usr/bin:/sbin:/bin")
}
