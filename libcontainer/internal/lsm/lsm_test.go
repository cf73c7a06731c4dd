package lsm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// host returns a machine whose /sys has these files.
func host(t *testing.T, files map[string]string) Host {
	t.Helper()
	h := Host{Root: t.TempDir()}
	for name, data := range files {
		path := filepath.Join(h.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

const apparmorEnabled = "sys/module/apparmor/parameters/enabled"

func TestCheckAppArmor(t *testing.T) {
	tests := []struct {
		name, enabled, profile, want string
	}{
		{"none asked for", "N\n", "", ""},
		{"enabled", "Y\n", "p", ""},
		{"stacked", "Y\n", "p//&:ns:q", ""},
		{"disabled", "N\n", "p", `unable to apply apparmor profile: apparmor failed to apply profile: "p" is specified, but AppArmor is disabled or not supported`},
		{"two lines", "Y\n", "p\nq", "control character"},
	}
	for _, tt := range tests {
		h := host(t, map[string]string{apparmorEnabled: tt.enabled})
		wantError(t, "CheckAppArmor "+tt.name, h.CheckAppArmor(tt.profile), tt.want)
	}
	wantError(t, "CheckAppArmor without the module", host(t, nil).CheckAppArmor("p"), "AppArmor is disabled or not supported")
}

func TestCheckSELinux(t *testing.T) {
	const fine = "system_u:system_r:container_t:s0:c1,c2"
	none := "selinux is disabled or not supported"
	tests := []struct{ label, want string }{
		{"", ""},
		{fine, `selinux label is specified in config, but ` + none + `: "` + fine + `"`},
		{"u:r:t", none},
		{"u:r", "want user:role:type"},
		{"container_t", "want user:role:type"},
		{"u::t:s0", "empty or has a blank"},
		{"u:r:t:s0 x", "empty or has a blank"},
		{"u:r:t\x00:s0", "empty or has a blank"},
		{"u:r:t:", "empty or has a blank"},
	}
	for _, tt := range tests {
		wantError(t, "CheckSELinux "+tt.label, host(t, nil).CheckSELinux(tt.label), tt.want)
	}
	// A directory at the path of selinuxfs is not a selinuxfs.
	h := host(t, map[string]string{"sys/fs/selinux/context": ""})
	wantError(t, "CheckSELinux", h.CheckSELinux(fine), none)
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s = %v; want %q", what, err, want)
	}
}

func TestOpenExecAttr(t *testing.T) {
	procfs, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer procfs.Close()
	for _, kind := range []Kind{AppArmorExec, SELinuxExec, SELinuxKeyCreate} {
		f, err := OpenExecAttr(procfs, os.Getpid(), kind)
		if errors.Is(err, unix.ENOENT) {
			t.Logf("kind %d: no such file in this kernel: %v", kind, err)
			continue
		}
		if err != nil {
			t.Errorf("OpenExecAttr(self, %d) = %v", kind, err)
			continue
		}
		f.Close()
	}
	_, err = OpenExecAttr(procfs, 1<<30, SELinuxExec)
	wantError(t, "OpenExecAttr of no process", err, "open `/proc/1073741824/attr/exec`: no such file or directory")
}

// TestOpenExecAttrStaysBeneath: a directory whose symlinks lead outside is not procfs; opening must fail.
func TestOpenExecAttrStaysBeneath(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, "1"), 0o755)
	os.Symlink("/proc/self/attr", filepath.Join(dir, "1", "attr"))
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := OpenExecAttr(f, 1, SELinuxExec); !errors.Is(err, unix.ELOOP) {
		t.Errorf("OpenExecAttr through a symlink = %v; want ELOOP", err)
	}
}

func TestValue(t *testing.T) {
	tests := []struct {
		kind Kind
		want string
	}{
		{AppArmorExec, "exec l"}, {SELinuxExec, "l"}, {SELinuxKeyCreate, "l"},
	}
	for _, tt := range tests {
		if got := string(tt.kind.Value("l")); got != tt.want {
			t.Errorf("Kind(%d).Value(l) = %q; want %q", tt.kind, got, tt.want)
		}
	}
}
