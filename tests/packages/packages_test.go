package packages

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	root  = "../.."
	cache = "../.cache/packages" // make clean removes it
)

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getuid() != 0 {
		fmt.Println("packages are installed by root: skipped")
		return
	}
	if out, err := exec.Command("../../.ci/setup", "mmdebstrap", "rpm", "jq", "busybox-static", "util-linux").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "packages: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// made returns the one file in dist that matches.
func made(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "dist", pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("dist/%s: %v, %v; want one file, by make packages", pattern, files, err)
	}
	path, err := filepath.Abs(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// output runs a command and returns its output; it fails the test if the command fails.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestContents compares the paths in the .deb and in the .rpm: rpm cannot be installed in a Debian.
func TestContents(t *testing.T) {
	var deb []string
	for line := range strings.Lines(output(t, "dpkg-deb", "--contents", made(t, "*_"+runtime.GOARCH+".deb"))) {
		fields := strings.Fields(line)
		if owner := fields[1]; owner != "root/root" {
			t.Errorf("%s belongs to %s; want root/root", fields[5], owner)
		}
		if !strings.HasSuffix(fields[5], "/") {
			deb = append(deb, strings.TrimPrefix(fields[5], "."))
		}
	}
	for _, program := range []string{"/usr/sbin/onggi", "/usr/sbin/containerd-shim-onggi-v1"} {
		if !slices.Contains(deb, program) {
			t.Errorf("files of the .deb = %q; want also %s", deb, program)
		}
	}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	list := strings.Fields(output(t, "rpm", "--query", "--list", "--package", made(t, "*."+machine+".rpm")))
	rpm := slices.DeleteFunc(list, func(path string) bool {
		return !slices.Contains(deb, path) && slices.ContainsFunc(deb, func(file string) bool { return strings.HasPrefix(file, path+"/") })
	})
	slices.Sort(deb)
	slices.Sort(rpm)
	if !slices.Equal(deb, rpm) {
		t.Errorf("files of the .deb = %q, of the .rpm = %q; want the same", deb, rpm)
	}
}

// TestBillOfMaterials looks for the modules in the SBOM: those of the runtime, of the helper in it, and the C library.
func TestBillOfMaterials(t *testing.T) {
	names := strings.Fields(output(t, "jq", "-r", ".components[].name", made(t, "*-"+runtime.GOARCH+".cdx.json")))
	for _, want := range []string{
		"github.com/opencontainers/runtime-spec", "github.com/opencontainers/selinux", "github.com/seccomp/libseccomp-golang",
		"github.com/sirupsen/logrus", "golang.org/x/sys", "libseccomp", "std",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("components = %q; want also %s", names, want)
		}
	}
}

// TestInstall installs the .deb, runs a container, and removes the package.
func TestInstall(t *testing.T) {
	const id = "onggi-packages-test"
	tree := debian(t)
	tmp := t.TempDir()
	for from, to := range map[string]string{made(t, "*_"+runtime.GOARCH+".deb"): "onggi.deb", "live": "live", "/bin/busybox": "busybox"} {
		output(t, "cp", from, filepath.Join(tmp, to))
	}
	const enter = `set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount --bind "$2" "$1/tmp"
cd "$1"
exec chroot . /bin/sh /tmp/live /tmp/onggi.deb ` + id
	// A chroot would do for dpkg. A container needs a root that is a mount, which the bind mount is.
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-c", enter, "enter", tree, tmp)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	t.Logf("log of the life of a package:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nonggi version ", "\nprocess 1 of ", "\nrun: exit status 7\n", "\ncontainers: .\n", "\nover\n"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("no line %q", want)
		}
	}
	for line := range strings.Lines(string(out)) {
		for _, bad := range []string{"left: ", "lost: ", "missing: ", "podman.conf "} {
			if strings.HasPrefix(line, bad) {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
	if left, err := exec.Command("find", "/sys/fs/cgroup", "-name", "*"+id+"*").Output(); err != nil || len(left) != 0 {
		t.Errorf("cgroups left: %s, %v", left, err)
	}
}

// debian unpacks a Debian 12 that has its essential packages and no others. The archive is kept, under the hash of its recipe.
func debian(t *testing.T) string {
	t.Helper()
	recipe := []string{
		"--quiet", "--mode=root", "--variant=essential", `--aptopt=Acquire::Retries "5"`,
		"--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm",
	}
	archive := filepath.Join(cache, fmt.Sprintf("bookworm-%.6x.tar", sha256.Sum256(fmt.Append(nil, recipe))))
	if _, err := os.Stat(archive); err != nil {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		// One name for unfinished archives: the next run overwrites the archive of a killed one.
		unfinished := filepath.Join(cache, "unfinished.tar")
		output(t, "mmdebstrap", append(recipe, unfinished)...)
		if err := os.Rename(unfinished, archive); err != nil {
			t.Fatal(err)
		}
	}
	tree := t.TempDir()
	output(t, "tar", "-C", tree, "--exclude=./dev/*", "-xpf", archive)
	return tree
}

// TestReproducible builds everything in two directories. The second build has its own build cache: otherwise the go command
// would reuse the files of the first.
func TestReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("two whole builds")
	}
	tools, err := filepath.Abs(filepath.Join(root, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	build := func(dir string, env ...string) map[string]string {
		output(t, "sh", "-c", `mkdir -p "$2" && cd "$1" && git ls-files -z --cached --others --exclude-standard |
			tar --null --ignore-failed-read -T - -cf - | tar -C "$2" -xf -`, "copy", root, dir)
		cmd := exec.Command("make", "packages", "ARCHES="+runtime.GOARCH, "COMMIT=0123456789ab", "VERSION=0.0.1",
			"NFPM="+tools+"/nfpm", "CYCLONEDX="+tools+"/cyclonedx-gomod")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append(env, "SOURCE_DATE_EPOCH=1767225600")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make packages: %v\n%s", err, out)
		}
		sums := map[string]string{}
		files, err := os.ReadDir(filepath.Join(dir, "dist"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(dir, "dist", file.Name()))
			if err != nil {
				t.Fatal(err)
			}
			sums[file.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		return sums
	}
	first := build(filepath.Join(t.TempDir(), "a"))
	second := build(filepath.Join(t.TempDir(), "another", "and", "deeper"), "GOCACHE="+t.TempDir(), "TZ=Asia/Seoul", "LC_ALL=C")
	if len(first) != 5 {
		t.Errorf("%d files in dist: %v; want two binaries, a .deb, a .rpm and an SBOM", len(first), first)
	}
	for name, sum := range first {
		if second[name] != sum {
			t.Errorf("%s = %s in the other directory; want %s", name, second[name], sum)
		}
	}
}
