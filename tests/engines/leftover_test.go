package engines

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Directories in the cgroup file systems that engines make once and keep.
var engineCgroups = []string{"default", "docker", "libpod_parent", "libpod_parent/conmon", "kubepods", "kubepods/burstable", "kubepods/besteffort", "docker/buildkit", "user", "user/session"}

// leftovers finds objects that an engine and its runtime should have removed by now, and removes them.
func leftovers(t *testing.T, mountsBefore []string) {
	for _, process := range strangers() {
		t.Errorf("process %s", process)
	}
	for _, mount := range newMounts(mountsBefore) {
		t.Errorf("mount %s", mount)
	}
	leftContainers(t)
}

// leftContainers finds objects that a container leaves in the sandbox, and removes them.
func leftContainers(t *testing.T) {
	t.Helper()
	for _, dir := range containerCgroups() {
		t.Errorf("cgroup %s", dir)
		removeCgroup(dir)
	}
	for _, dir := range stateDirs() {
		t.Errorf("state %s", dir)
		os.RemoveAll(dir)
	}
}

// strangers names the processes of the sandbox that are not the tests', and kills those that do not end by themselves.
func strangers() []string {
	var left []string
	for deadline := time.Now().Add(slowly(3 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		left = left[:0]
		entries, _ := os.ReadDir("/proc")
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil || pid == 1 || pid == os.Getpid() {
				continue
			}
			cmdline, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
			if len(cmdline) == 0 || persistent(string(cmdline)) { // an ended process has none
				continue
			}
			left = append(left, entry.Name()+": "+strings.ReplaceAll(string(cmdline), "\x00", " "))
			if time.Now().After(deadline) {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// persistent reports whether a process is a helper that an engine leaves running on purpose.
func persistent(cmdline string) bool {
	// Podman's DNS server stays for the next container of the network; the pause process holds a user's namespaces.
	return strings.Contains(cmdline, "aardvark-dns") || strings.Contains(cmdline, "catatonit\x00-P")
}

// mounts returns the mount table without the mounts that engines make once for themselves.
func mounts() []string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 4 && !keptMount(fields[4]) {
			lines = append(lines, strings.Join(fields[2:5], " "))
		}
	}
	return lines
}

// newMounts returns the mounts that did not exist before. A missing mount belonged to the machine: a mount also disappears
// here when a process outside removes its directory.
func newMounts(before []string) []string {
	was := make(map[string]int)
	for _, mount := range before {
		was[mount]++
	}
	var added []string
	for _, mount := range mounts() {
		if was[mount]--; was[mount] < 0 {
			added = append(added, mount)
		}
	}
	return added
}

// keptMount reports whether an engine makes a mount once and keeps it.
func keptMount(point string) bool {
	return point == "/run/netns" || point == "/run/docker/netns/default" || point == "/var/lib/containers/storage/overlay"
}

// containerCgroups are the sandbox's cgroups that are not an engine's own.
func containerCgroups() []string {
	var left []string
	for _, root := range hierarchies() {
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(root, path)
			if err == nil && d.IsDir() && rel != "." && !slices.Contains(engineCgroups, rel) && !podCgroup(rel) {
				left = append(left, path)
				return fs.SkipDir
			}
			return nil
		})
	}
	return left
}

// podCgroup reports whether a cgroup is a pod's, the parent of its containers'. Podman 4.3 removes it from the controllers
// that it knows. With every runtime, this leaves name=systemd and unified.
func podCgroup(rel string) bool {
	return filepath.Dir(rel) == "libpod_parent" && !strings.HasPrefix(filepath.Base(rel), "libpod-")
}

// stateDirs returns the containers that the runtime still knows, in every root that an engine uses.
func stateDirs() []string {
	var left []string
	for _, pattern := range []string{"/run/" + env.kind + "/*", runtimeDir + "/" + env.kind + "/*", "/run/containerd/runc/*/*", "/run/docker/runtime-*/moby/*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if !strings.ContainsAny(filepath.Base(dir)[:1], "@.") { // onggi's and crun's caches
				left = append(left, dir)
			}
		}
	}
	return left
}
