package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo writes a go command that answers `env GOVERSION` and `env GOROOT`, and nothing else.
func fakeGo(t *testing.T, version, root string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	script := "#!/bin/sh\ncase $2 in GOVERSION) echo '" + version + "' ;; GOROOT) echo '" + root + "' ;; esac\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// foreignSource makes a GOROOT whose file differs from the one of another GOROOT.
func foreignSource(t *testing.T, from string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "src", "runtime")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cgroup_linux.go", "mspanset.go"} {
		source, err := os.ReadFile(filepath.Join(from, "src", "runtime", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(source, "// changed\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestPatchOfGo: for a checked version of Go, there is an overlay. For any other, or another source of that
// version, there is none: one line says why, and the build goes on without.
func TestPatchOfGo(t *testing.T) {
	root := strings.TrimSpace(goEnv(t, "GOROOT"))
	for _, tt := range []struct {
		name, version, root string
		want                string // on standard error; nothing where there is an overlay
	}{
		{"checked", "go1.26.8", root, ""},
		{"with an experiment", "go1.26.8 X:jsonv2", root, ""},
		{"older", "go1.25.3", root, "go1.25.3 is not one of the checked Go versions"},
		{"newer", "go1.28.0", root, "go1.28.0 is not one of the checked Go versions"},
		{"development", "devel go1.28-abcdef", root, "devel is not one of the checked Go versions"},
		{"another source", "go1.26.8", foreignSource(t, root), "is not the one that was checked"},
		{"no source", "go1.26.8", t.TempDir(), "it does not apply to "},
	} {
		for _, more := range [][]string{nil, {"shim"}} {
			t.Run(strings.Join(append([]string{tt.name}, more...), " "), func(t *testing.T) {
				checkOverlay(t, fakeGo(t, tt.version, tt.root), tt.want, more...)
			})
		}
	}
}

// checkOverlay makes an overlay, or looks for the complaint.
func checkOverlay(t *testing.T, goCommand, want string, more ...string) {
	t.Helper()
	cmd := exec.Command("../../.ci/toolchain/overlay", append([]string{t.TempDir()}, more...)...)
	cmd.Env = append(os.Environ(), "GO="+goCommand)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	if want == "" {
		overlay, err := os.ReadFile(strings.TrimSpace(string(out)))
		if err != nil || complaint.Len() > 0 || strings.Count(string(overlay), "/src/runtime/") != 1+len(more) {
			t.Errorf("overlay %q, %v, %s, complaint %q; want a file and no complaint", out, err, overlay, complaint.String())
		}
		return
	}
	if text := complaint.String(); len(out) > 0 || strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || !strings.Contains(text, "building without the patch") {
		t.Errorf("overlay %q, complaint %q; want none, and one line with %q", out, text, want)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestMakeWithoutLibseccomp: make names the package that is missing.
func TestMakeWithoutLibseccomp(t *testing.T) {
	cmd := exec.Command("make", "-C", "../..", "--no-print-directory", "onggi")
	cmd.Env = append(os.Environ(), "PKG_CONFIG_LIBDIR="+t.TempDir(), "PKG_CONFIG_PATH=", "MAKEFLAGS=", "MFLAGS=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "building needs libseccomp: apt-get install libseccomp-dev\n") {
		t.Errorf("make: %v\n%s\nwant the package first", err, out)
	}
}

// TestGoInstall installs a version of the module as any Go user does, from a proxy that has the tree's last commit. With
// LONG=1, because it compiles everything.
func TestGoInstall(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("it takes LONG=1")
	}
	const path, version = "github.com/onggi-dev/onggi", "v0.0.9"
	proxy, bin := t.TempDir(), t.TempDir()
	dir := filepath.Join(proxy, path, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	archive := exec.Command("git", "-C", "../..", "archive", "--format=zip", "--prefix="+path+"@"+version+"/",
		"-o", filepath.Join(dir, version+".zip"), "HEAD", "--", ".", ":!tests", ":!docs") // modules of their own are in tests
	if out, err := archive.CombinedOutput(); err != nil {
		t.Skipf("git archive: %v\n%s", err, out)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"list": version + "\n", version + ".mod": string(mod), version + ".info": `{"Version":"` + version + `","Time":"2026-01-01T00:00:00Z"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("go", "install", path+"/cmd/onggi@"+version)
	downloaded := strings.TrimSpace(goEnv(t, "GOMODCACHE")) + "/cache/download"
	install.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-modcacherw", "GOBIN="+bin, "GOMODCACHE="+t.TempDir(),
		"GOPROXY=file://"+proxy+",file://"+downloaded, "GOSUMDB=off")
	install.Dir = bin
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install: %v\n%s", err, out)
	}
	out, err := exec.Command(filepath.Join(bin, "onggi"), "--version").Output()
	if err != nil || !strings.Contains(string(out), ", linked in, with cgo\n") {
		t.Errorf("--version: %v\n%s\nwant how libseccomp is there", err, out)
	}
}
