package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sourceFlags are the flags that a mount of the host may have, by their names in mountinfo.
var sourceFlags = map[string]uintptr{
	"": 0, "ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "nosymfollow": 1 << 8,
	"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "strictatime": unix.MS_STRICTATIME,
	"ro,nosuid,nodev,noexec,noatime,nodiratime": unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME,
}

// bindOptions are the options that the test gives to a bind mount, one at a time.
var bindOptions = strings.Fields(`bind rbind private slave shared unbindable rprivate rslave rshared
	rw ro suid nosuid dev nodev exec noexec diratime nodiratime symfollow nosymfollow
	noatime atime relatime norelatime strictatime nostrictatime
	silent loud iversion noiversion sync async lazytime nolazytime mand nomand dirsync
	rro rrw rnosuid rsuid rnodev rdev rnoexec rexec`)

// A bind mount with an option other than bind and propagation has exactly the listed flags. Without such an option it has
// the flags of its source. The access time mode is independent of both. The test tries all pairs of source and option.
func TestFlagsOfABindMount(t *testing.T) {
	peerFails(t, "crun", "clears flags without an option, and does not know nosymfollow")
	for flags, bits := range sourceFlags {
		t.Run(flags, func(t *testing.T) {
			c := newContainer(t)
			dir := flaggedSource(t, c, bits)
			for _, option := range bindOptions {
				c.edit(mount(specs.Mount{Destination: "/mnt/" + option, Type: "bind", Source: dir, Options: []string{"bind", option}}))
			}
			all := c.mountsInside()
			for _, option := range bindOptions {
				got := strings.Split(all["/mnt/"+option].options, ",")
				slices.Sort(got)
				want(t, "with "+option+": ", strings.Join(got, ","), boundFlags(strings.Split(flags, ","), option))
			}
		})
	}
}

// flaggedSource mounts a tmpfs with flags on the host and returns its path.
func flaggedSource(t *testing.T, c *container, flags uintptr) string {
	t.Helper()
	dir := filepath.Join(c.bundle, "flagged")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=777"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	c.write("flagged/script", "#!/bin/sh\necho it runs\n")
	if err := os.Chmod(filepath.Join(dir, "script"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// boundFlags returns the expected flags, with the names of mountinfo.
func boundFlags(source []string, option string) string {
	is := func(list ...string) bool { return slices.Contains(list, option) }
	listed := !is("bind", "rbind", "private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared") && !strings.HasPrefix(option, "rro") &&
		!is("rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec")
	var flags []string
	for _, flag := range []string{"ro", "nosuid", "nodev", "noexec", "nosymfollow"} {
		opposite := map[string]string{"ro": "rw"}[flag]
		if opposite == "" {
			opposite = strings.TrimPrefix(flag, "no")
		}
		kept := slices.Contains(source, flag) && !listed && option != "r"+opposite
		if kept || is(flag, "r"+flag) {
			flags = append(flags, flag)
		}
	}
	if !slices.Contains(flags, "ro") {
		flags = append(flags, "rw")
	}
	times := source
	if is("noatime", "relatime", "strictatime", "nodiratime") {
		times = []string{option}
	}
	for _, flag := range []string{"noatime", "nodiratime"} {
		if slices.Contains(times, flag) {
			flags = append(flags, flag)
		}
	}
	if !slices.Contains(times, "noatime") && !slices.Contains(times, "strictatime") {
		flags = append(flags, "relatime")
	}
	slices.Sort(flags)
	return strings.Join(flags, ",")
}

func TestScriptOnANoexecSource(t *testing.T) {
	for _, test := range []struct {
		options []string
		edits   []edit
		runs    bool
	}{
		{[]string{"rbind", "rprivate", "rw"}, nil, true},
		{[]string{"bind", "suid"}, nil, true},
		{[]string{"rbind", "rprivate", "noexec"}, nil, false},
		{[]string{"rbind", "rprivate", "rw"}, []edit{userNamespace(100000)}, false}, // locked
	} {
		name := strings.Join(test.options, ",")
		if test.edits != nil {
			name += ", user namespace"
			peerFails(t, "crun", "clones sources on the host, where nothing locks them")
		}
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, append(test.edits, args("/mnt/script"))...)
			dir := flaggedSource(t, c, unix.MS_NOEXEC)
			c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: test.options}))
			if r := c.run(); (r.code == 0) != test.runs {
				t.Errorf("it runs: %v; want %v\n%v", r.code == 0, test.runs, r)
			}
		})
	}
}

// A bind mount of a container is never a peer of the host's mount. With rbind, this holds for the mounts below it too. The
// container's root mounts on all of them, and the test then looks for these mounts on the host.
func TestNothingMountedInsideReachesTheHost(t *testing.T) {
	for _, options := range [][]string{
		{"rbind"},
		{"rbind", "slave"},
		{"rbind", "private"},
		{"rbind", "rslave"},
		{"rbind", "rprivate"},
		{"rbind", "shared"},
		{"rbind", "rshared"},
		{"rbind", "unbindable"},
		{"rbind", "slave", "shared"},
		{"bind"},
		{"bind", "shared"},
		{"bind", "private"},
	} {
		t.Run(strings.Join(options, ","), func(t *testing.T) {
			if slices.Contains(options, "slave") && slices.Contains(options, "shared") {
				peerFails(t, "crun", "asks the kernel for both at once")
			}
			c := newContainer(t, caps("CAP_SYS_ADMIN"), sh("cd /mnt; mkdir -p a sub/b; mount -t tmpfs x a && mount -t tmpfs x sub/b && cat /proc/self/mountinfo"))
			dir := sharedSource(t, c)
			c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: options}))
			before := mountsBelow(t, dir)
			inside := parseMounts(c.output())
			if inside["/mnt/a"].fstype != "tmpfs" {
				t.Errorf("nothing was mounted inside: %v", inside)
			}
			if after := mountsBelow(t, dir); after != before {
				t.Errorf("%d mounts on the host; %d before", after, before)
			}
		})
	}
	t.Run("rootfsPropagation is shared", func(t *testing.T) { // the positive control
		c := newContainer(t, caps("CAP_SYS_ADMIN"), sh("cd /mnt; mkdir -p a; mount -t tmpfs x a"))
		dir := sharedSource(t, c)
		c.spec.Linux.RootfsPropagation = "shared"
		c.edit(mount(specs.Mount{Destination: "/mnt", Type: "bind", Source: dir, Options: []string{"rbind", "rshared"}}))
		before := mountsBelow(t, dir)
		c.output()
		if after := mountsBelow(t, dir); after != before+1 {
			t.Errorf("%d mounts on the host; want one more than %d", after, before)
		}
	})
}

// sharedSource returns a shared mount of the host with another mount below it.
func sharedSource(t *testing.T, c *container) string {
	t.Helper()
	dir := filepath.Join(c.bundle, "shared")
	c.write("shared/file", "")
	for _, at := range []string{dir, filepath.Join(dir, "sub")} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=777"); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", at, "", unix.MS_SHARED, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
	})
	return dir
}

func mountsBelow(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(data), " "+dir)
}
