package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func needAppArmor(t *testing.T) {
	t.Helper()
	if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || data[0] != 'Y' {
		t.Skip("AppArmor is not enabled here")
	}
	if _, err := exec.LookPath("apparmor_parser"); err != nil {
		t.Skip("no apparmor_parser to load a profile with")
	}
}

// loadProfile loads an AppArmor profile with these rules and returns its name. It removes the profile after the test.
func loadProfile(t *testing.T, rules string) string {
	t.Helper()
	name := fmt.Sprintf("onggi-tests-%d-%d", os.Getpid(), number.Add(1))
	text := fmt.Sprintf("profile %s flags=(attach_disconnected,mediate_deleted) {\n%s\n}\n", name, rules)
	parser := func(flag string) {
		cmd := exec.Command("apparmor_parser", flag, "--skip-cache")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("apparmor_parser %s: %v\n%s", flag, err, out)
		}
	}
	parser("--add")
	t.Cleanup(func() { parser("--remove") })
	return name
}

func apparmor(profile string) edit {
	return process(func(p *specs.Process) { p.ApparmorProfile = profile })
}

// The profile restricts the program and the processes of exec. The control runs without the profile.
func TestAppArmorProfile(t *testing.T) {
	needAppArmor(t)
	profile := loadProfile(t, "file, capability, network, unix, signal, ptrace, deny /etc/secret r,")
	const line = "cat /proc/self/attr/apparmor/current; cat /etc/secret"
	for _, nnp := range []bool{false, true} {
		t.Run(fmt.Sprintf("no_new_privs=%t", nnp), func(t *testing.T) {
			c := newContainer(t, sh(line), process(func(p *specs.Process) { p.NoNewPrivileges = nnp }))
			secret := filepath.Join(c.rootfs, "etc/secret")
			if err := os.WriteFile(secret, []byte("secret\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			want(t, "without a profile", c.output(), "unconfined\nsecret")
			c.edit(apparmor(profile))
			r := c.run()
			want(t, "with the profile", r.out, profile+" (enforce)\n")
			if !strings.Contains(r.err, "Permission denied") {
				t.Errorf("the profile forbids nothing\n%v", r)
			}
			c.edit(args("sleep", "1000"))
			c.up()
			want(t, "exec", c.exec(nil, "sh", "-c", line).out, profile+" (enforce)\n")
		})
	}
	t.Run("of exec alone", func(t *testing.T) {
		c := newContainer(t)
		c.up()
		const name = "cat /proc/self/attr/apparmor/current"
		want(t, "exec", c.execOutput(nil, "sh", "-c", name), "unconfined")
		want(t, "exec --apparmor", c.execOutput([]string{"--apparmor", profile}, "sh", "-c", name), profile+" (enforce)")
	})
}

// A profile that is not loaded is an error before the program runs. check finds it too.
func TestAppArmorProfileThatIsNotThere(t *testing.T) {
	needAppArmor(t)
	peersLack(t, "says it in other words")
	c := newContainer(t, apparmor("onggi-tests-none"))
	c.runFails().has(t, "/process/apparmorProfile: ", "no such file or directory", "onggi-tests-none", "no profile of this name is loaded")
	if dirs := c.cgroupDirs(); len(dirs) > 0 {
		t.Errorf("left: %v", dirs)
	}
	if r := c.verb("check", c.bundle); r.code == 0 || !strings.Contains(r.out+r.err, `no profile "onggi-tests-none" is loaded`) {
		t.Errorf("check finds nothing\n%v", r)
	}
	c.edit(apparmor(""))
	c.up()
	c.fails("exec", "--apparmor", "onggi-tests-none", c.id, "true").has(t, "/process/apparmorProfile: ", "no such file or directory", "no profile of this name is loaded")
	want(t, "exec without", c.execOutput(nil, "echo", "fine"), "fine")
}

func needSELinux(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		t.Skip("SELinux is not enabled here")
	}
}

// enforced reports whether SELinux enforces its policy.
func enforced() bool {
	enforce, err := os.ReadFile("/sys/fs/selinux/enforce")
	return err == nil && string(enforce) == "1"
}

// The process, the mounts, the keyring, and the processes of exec have the labels.
func TestSELinuxLabels(t *testing.T) {
	needSELinux(t)
	if enforced() {
		t.Skip("the policy is enforced, and keeps the programs of the container from this test's files")
	}
	const label, files = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"
	c := newContainer(t, process(func(p *specs.Process) { p.SelinuxLabel = label }), func(s *specs.Spec) { s.Linux.MountLabel = files })
	c.up()
	const own = "cat /proc/self/attr/current | tr -d '\\0'"
	want(t, "label of exec", c.execOutput(nil, "sh", "-c", own), label)
	want(t, "label of the program", c.execOutput(nil, "sh", "-c", "cat /proc/1/attr/current | tr -d '\\0'"), label)
	const other = "system_u:system_r:container_t:s0:c3,c4"
	want(t, "exec --process-label", c.execOutput([]string{"--process-label", other}, "sh", "-c", own), other)
	mounts := c.execOutput(nil, "cat", "/proc/mounts")
	for _, target := range []string{"/dev", "/dev/shm", "/dev/pts"} {
		if !strings.Contains(mounts, " "+target+" ") || !strings.Contains(lineWith(mounts, " "+target+" "), `context="`+files+`"`) {
			t.Errorf("%s has no label\n%s", target, mounts)
		}
	}
}

// lineWith returns the first line of text that contains part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// A label that the policy does not know is an error before create makes anything.
func TestSELinuxLabelThatIsNotThere(t *testing.T) {
	needSELinux(t)
	peersLack(t, "says it in other words")
	const label = "system_u:system_r:onggi_tests_t:s0"
	c := newContainer(t, process(func(p *specs.Process) { p.SelinuxLabel = label }))
	c.runFails().has(t, "/process/selinuxLabel: ", "invalid argument", label, "is not in the loaded policy")
	c.edit(process(func(p *specs.Process) { p.SelinuxLabel = "" }), func(s *specs.Spec) { s.Linux.MountLabel = label })
	c.runFails().has(t, "/linux/mountLabel: ", "invalid argument", label, "is not in the loaded policy")
	if dirs := c.cgroupDirs(); len(dirs) > 0 {
		t.Errorf("left: %v", dirs)
	}
}

// An enforced policy lets the program read files that have its categories, and no others.
func TestSELinuxEnforced(t *testing.T) {
	needSELinux(t)
	if !enforced() {
		t.Skip("SELinux does not enforce its policy here")
	}
	const label, files, others = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c3,c4"
	c := newContainer(t, args("sh", "-c", "cat /own > /read; cat /other 2> /refused || true"), process(func(p *specs.Process) { p.SelinuxLabel = label }), func(s *specs.Spec) { s.Linux.MountLabel = files })
	for _, name := range []string{"own", "other"} {
		if err := os.WriteFile(filepath.Join(c.rootfs, name), []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	relabel(t, c.rootfs, files)
	relabel(t, filepath.Join(c.rootfs, "other"), others)
	if r := c.run(); r.code != 0 {
		t.Errorf("%v; want exit status 0", r)
	}
	// The policy does not let the program write to the harness's files, so its output is in its root file system.
	for name, text := range map[string]string{"read": "own\n", "refused": "cat: can't open '/other': Permission denied\n"} {
		got, err := os.ReadFile(filepath.Join(c.rootfs, name))
		if err != nil {
			t.Error(err)
		}
		want(t, name, string(got), text)
	}
}

// A process label to which the policy lets the runtime not change is an error of start.
func TestSELinuxTransitionRefused(t *testing.T) {
	needSELinux(t)
	if !enforced() {
		t.Skip("SELinux does not enforce its policy here")
	}
	c := newContainer(t, process(func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:getty_t:s0" }))
	c.runFails().has(t, "/process/args/0: ", "permission denied", "refused by a security module")
}

// relabel gives a file, and all files below it, an SELinux context (xattr(7)).
func relabel(t *testing.T, root, context string) {
	t.Helper()
	if err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.Lsetxattr(path, "security.selinux", []byte(context+"\x00"), 0)
	}); err != nil {
		t.Fatal(err)
	}
}
