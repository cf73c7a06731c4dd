package vm

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is a type of machine that QEMU emulates.
type machine struct {
	goarch  string
	debian  string   // the architecture in Debian
	kernel  string   // Debian's package
	qemu    []string // program and flags
	console string   // the kernel's name of the first serial device
	serial  []string // flags that connect it with QEMU's device "console"
	bus     string   // of virtio devices
}

var amd64 = machine{goarch: "amd64", qemu: []string{"qemu-system-x86_64"}}

// Machines whose guests make ports runs. pauth-impdef is a pointer authentication that is cheap to emulate.
var (
	arm64 = machine{
		"arm64", "arm64", "linux-image-cloud-arm64",
		[]string{"qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on"},
		"ttyAMA0",
		[]string{"-serial", "chardev:console"},
		"pci",
	}
	arm64Pages16K = func() machine { m := arm64; m.kernel = "linux-image-arm64-16k"; return m }()
	riscv64       = machine{
		"riscv64", "riscv64", "linux-image-riscv64",
		[]string{"qemu-system-riscv64", "-M", "virt"},
		"ttyS0",
		[]string{"-serial", "chardev:console"},
		"pci",
	}
	ppc64le = machine{
		"ppc64le", "ppc64el", "linux-image-powerpc64le-64k", // the number is the size of a page
		[]string{"qemu-system-ppc64", "-M", "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off", "-cpu", "power9"},
		"hvc0",
		[]string{"-serial", "chardev:console"},
		"pci",
	}
	s390x = machine{
		"s390x", "s390x", "linux-image-s390x",
		[]string{"qemu-system-s390x", "-M", "s390-ccw-virtio", "-cpu", "max"},
		"ttysclp0",
		[]string{"-device", "sclpconsole,chardev=console"},
		"ccw",
	}
)

// ports returns the guests on other machines than amd64. arm64 runs the tests of the amd64 guest v2-6.12 and smoke. It boots
// once for each list, so that a guest that hangs costs one list. The other machines run smoke alone.
func ports() []guest {
	const list, short = 50 * time.Minute, 25 * time.Minute
	v2 := []string{"cgroup=v2"}
	ofCalls := []run{program("launch"), program("remote")}
	brief := append(ofCalls, each("smoke", smoke))
	return []guest{
		{"arm64", "trixie", "v2", v2, brief, short, arm64},
		{"arm64-packages", "trixie", "v2", v2, []run{units()[0], units()[2]}, short, arm64},
		{"arm64-newer", "trixie", "v2", v2, []run{each("newer", slices.Concat(newer, []string{"TestPrograms32"}))}, list, arm64},
		{"arm64-confinement", "trixie", "v2", v2, []run{each("confinement", confinement, newer...)}, list, arm64},
		{"arm64-limits", "trixie", "v2", v2, []run{each("limits", limits)}, list, arm64},
		{"arm64-16k", "trixie", "v2", v2, brief, short, arm64Pages16K},
		{"riscv64", "trixie", "v2", v2, brief, short, riscv64},
		{"ppc64le", "trixie", "v2", v2, brief, short, ppc64le},
		{"s390x", "bookworm", "v2", v2, []run{program("launch"), program("remote", staleCode...), each("smoke", smoke)}, short, s390x},
	}
}

// each is a run of integration tests in which a test that hangs costs its own limit and not the others' time.
func each(name string, tests []string, skip ...string) run {
	return run{driver: name, tests: tests, skip: skip, limit: 4 * time.Minute}
}

// staleCode are tests that start several variants of the stub. On s390x, QEMU 7.2 keeps translated code when the kernel writes
// other code to its page. A stub then executes the instructions of the variant whose page it has got.
var staleCode = []string{"TestTrace"}

// program is a run of the unit tests of a package.
func program(name string, skip ...string) run {
	return run{driver: name, program: "libcontainer/internal/" + name, tests: []string{"Test"}, skip: skip}
}

// smoke are tests of the default bundle, exec, seccomp, user namespaces and cgroups.
var smoke = []string{
	"TestRunReturns", "TestExecOutput", "TestSeccompApplies", "TestNotify", "TestUserNamespace", "TestIdmap", "TestResources$", "TestPids",
	"TestPause", "TestCapabilities", "TestMasked", "TestDelete$",
}

// suffix distinguishes the names of images.
func (m machine) suffix() string {
	if m.goarch == amd64.goarch {
		return ""
	}
	return "-" + strings.TrimPrefix(m.kernel, "linux-image-")
}

// portPackages are the packages of an image. busybox replaces missing programs.
var portPackages = []string{
	"kmod", "busybox-static", "iproute2", "login", "passwd", "procps", "strace", "tmux", "uidmap", "util-linux", "nftables",
	"dash", "bash", "coreutils", "base-passwd", "libc-bin", "mount", "mawk",
}

// bootstrapFlags returns the flags of mmdebstrap, which unpacks the packages and executes none of their programs.
func (m machine) bootstrapFlags(suite, tree string) []string {
	return []string{
		"--quiet", "--mode=root", "--variant=extract", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--architectures=" + m.debian,
		"--include=" + strings.Join(append([]string{m.kernel}, portPackages...), ","),
		`--aptopt=APT::Install-Recommends "false"`, `--aptopt=Acquire::Retries "5"`,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/i18n/*",
		`--customize-hook=port/setup "$1"`, suite, tree,
	}
}

// mirror returns the line of sources.list in MIRROR, as an argument of mmdebstrap. SUITE in it stands for the suite.
func mirror(suite string) []string {
	if line := os.Getenv("MIRROR"); line != "" {
		return []string{strings.ReplaceAll(line, "SUITE", suite)}
	}
	return nil
}

// port returns QEMU's flags for a machine other than amd64. The tests' output comes from a virtio port, which every machine
// has. The device "file" is never closed, other than a standard input that has ended.
func (g guest) port(i image, disk, console string) []string {
	cmdline := []string{
		"console=" + g.on.console, "quiet", "loglevel=4", "panic=-1", "mitigations=off", "nowatchdog", "audit=0", "random.trust_cpu=on",
	}
	return slices.Concat(g.on.qemu[1:], g.on.serial, []string{
		"-accel", "tcg,thread=multi", "-m", "2048", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", i.kernel, "-initrd", i.initramfs, "-append", strings.Join(append(cmdline, g.cmdline...), " "),
		"-chardev", "file,id=console,path=" + console, "-chardev", "file,id=tests,path=/dev/stdout",
		"-device", "virtio-serial-" + g.on.bus, "-device", "virtserialport,chardev=tests,name=tests",
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + i.root, "-device", "virtio-blk-" + g.on.bus + ",drive=root,serial=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file=" + disk, "-device", "virtio-blk-" + g.on.bus + ",drive=payload,serial=payload",
	})
}

func TestPorts(t *testing.T) {
	if !*others {
		t.Skip("make ports runs the guests of other machines")
	}
	for _, g := range ports() {
		t.Run(g.name, g.test)
	}
}
