package tests

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// hostMounts is a mount namespace with shared mounts only, as systemd creates it. A mount that propagates from a container
// appears in it. Runtimes that its thread starts are in it too.
type hostMounts struct {
	t    *testing.T
	info int // not an os.File: Go's poller would consume the events
}

// withSharedMounts calls f in such a namespace, on a thread that ends afterwards.
func withSharedMounts(t *testing.T, f func(hostMounts)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			withSharedMounts(t, f) // this thread is the one that /proc/self shows
			return
		}
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Error(err)
			return
		}
		// MS_PRIVATE first: otherwise the mounts stay peers of the original ones.
		for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", "/", "", unix.MS_REC|flag, ""); err != nil {
				t.Error(err)
				return
			}
		}
		info, err := unix.Open("/proc/thread-self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(info)
		f(hostMounts{t, info})
	}()
	<-done
}

func (h hostMounts) list() string {
	var text strings.Builder
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := unix.Pread(h.info, buf, at)
		if err != nil {
			h.t.Error(err)
		}
		if n <= 0 {
			return text.String()
		}
		text.Write(buf[:n])
		at += int64(n)
	}
}

// changed reports whether any mount was made, removed or changed since the last call, however briefly
// (proc_pid_mountinfo(5)).
func (h hostMounts) changed() bool {
	fds := []unix.PollFd{{Fd: int32(h.info), Events: unix.POLLPRI}}
	n, err := unix.Poll(fds, 0)
	if err != nil {
		h.t.Error(err)
	}
	return n > 0
}

// systemd reacts to every mount on the host, which costs processor time. Each such mount is also a risk.
func TestNothingIsMountedOnTheHost(t *testing.T) {
	peerFails(t, "runc", "mounts its own executable, and sets propagation")
	for name, edits := range map[string][]edit{
		"default":        nil,
		"user namespace": {userNamespace(100000)},
		"bind mounts": {mount(specs.Mount{Destination: "/src", Type: "bind", Source: "rootfs", Options: []string{"rbind", "ro"}},
			specs.Mount{Destination: "/own", Type: "tmpfs", Source: "tmpfs", Options: []string{"ro"}})},
		"hooks": {func(s *specs.Spec) {
			hook := []specs.Hook{{Path: "/bin/true"}}
			s.Hooks = &specs.Hooks{CreateRuntime: hook, CreateContainer: hook, StartContainer: hook, Poststart: hook, Poststop: hook}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, edits...)
			withSharedMounts(t, func(h hostMounts) {
				before := h.list()
				h.changed()
				c.up()
				c.execOutput(nil, "true")
				c.must("delete", "--force", c.id)
				if h.changed() {
					t.Errorf("the host's mounts have changed:\n%s", diff(before, h.list()))
				}
			})
		})
	}
	t.Run("control", func(t *testing.T) {
		dir := t.TempDir()
		withSharedMounts(t, func(h hostMounts) {
			h.changed()
			if err := errors.Join(unix.Mount("none", dir, "tmpfs", 0, ""), unix.Unmount(dir, 0)); err != nil {
				t.Error(err)
			}
			if !h.changed() {
				t.Error("a mount that came and went was not noticed")
			}
		})
	})
}

// In a user namespace, a device node is a bind mount of the host's, as the mask of a file is everywhere. A mount of the
// container's root over them must not appear on the host.
func TestAMountOverADeviceStaysInTheContainer(t *testing.T) {
	attack := `for f in /dev/null /dev/zero /dev/tty /proc/timer_list /dev/pts /dev/shm /mnt; do
		[ -d $f ] && mount -t tmpfs hostile $f || mount --bind /tmp/hostile $f; done; grep -c hostile /proc/self/mountinfo`
	admin := []edit{sh("echo pwned > /tmp/hostile; " + attack), caps("CAP_SYS_ADMIN")}
	for name, edits := range map[string][]edit{
		"user namespace": append(admin, userNamespace(100000)),
		"without":        admin,
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(edits, mount(specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
				specs.Mount{Destination: "/mnt", Type: "bind", Source: "source", Options: []string{"rbind"}}))...)
			c.write("source/file", "")
			withSharedMounts(t, func(h hostMounts) {
				out := c.output()
				if n := atoi(t, out[strings.LastIndexByte(out, '\n')+1:]); n < 7 {
					t.Errorf("control: only %d of the mounts were made", n)
				}
				if now := h.list(); strings.Contains(now, "hostile") {
					t.Errorf("on the host:\n%s", now)
				}
				// Control: a mount on an rshared bind mount in a shared root does appear.
				c.edit(sh("mount -t tmpfs hostile /mnt"), func(s *specs.Spec) {
					s.Mounts[len(s.Mounts)-1].Options = []string{"rbind", "rshared"}
					s.Linux.RootfsPropagation = "shared"
				})
				c.output()
				if name == "without" && !strings.Contains(h.list(), "hostile") {
					t.Error("control: the mount over a shared one did not arrive")
				}
			})
		})
	}
}
