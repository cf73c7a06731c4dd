package vm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// image is a Debian release: its kernel and a root file system. Each guest gets a snapshot of the latter.
type image struct {
	kernel    string // ELF
	root      string // ext4
	initramfs string // of other machines than amd64
}

// cache survives runs. make clean removes it.
const cache = "../.cache/vm"

// packages are added to the required ones: an init, programs that the tests call, and the policies of both LSMs.
var packages = []string{
	"linux-image-cloud-amd64", "kmod",
	"systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd",
	"busybox-static", "iproute2", "login", "passwd", "procps", "strace", "tmux", "uidmap", "util-linux",
	"apparmor", "policycoreutils", "selinux-policy-default", "nftables",
}

// newImage returns the image of a Debian suite. It builds the image if there is none for the present recipe.
func newImage(suite string, on machine) (image, error) {
	key, err := recipeKey(suite, on)
	if err != nil {
		return image{}, err
	}
	name := suite + on.suffix()
	dir := filepath.Join(cache, name+"-"+key)
	i := image{kernel: filepath.Join(dir, "vmlinux"), root: filepath.Join(dir, "root.ext4"), initramfs: filepath.Join(dir, "initramfs")}
	if _, err := os.Stat(dir); err == nil {
		return i, nil
	}
	if err := discard(name); err != nil {
		return image{}, err
	}
	made, err := os.MkdirTemp(cache, name+"-unfinished-")
	if err != nil {
		return image{}, err
	}
	defer os.RemoveAll(made)
	if err := bootstrap(suite, on, made); err != nil {
		return image{}, fmt.Errorf("image of %s: %w", name, err)
	}
	return i, os.Rename(made, dir)
}

// recipeKey is a hash of everything that goes into an image.
func recipeKey(suite string, on machine) (string, error) {
	h := sha256.New()
	directories := []string{"guest/*"}
	if on.goarch == amd64.goarch {
		fmt.Fprintln(h, suite, packages, bootstrapFlags(suite, ""))
	} else {
		fmt.Fprintln(h, suite, on.bootstrapFlags(suite, ""))
		directories = append(directories, "port/*")
	}
	for _, directory := range directories {
		files, err := filepath.Glob(directory)
		if err != nil {
			return "", err
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
		}
	}
	return fmt.Sprintf("%.6x", h.Sum(nil)), nil
}

// discard removes images of earlier recipes and unfinished ones. An image's name ends with 12 hexadecimal digits.
func discard(name string) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(cache, name+"-"+strings.Repeat("[0-9a-f]", 12)))
	unfinished, err2 := filepath.Glob(filepath.Join(cache, name+"-unfinished-*"))
	err = errors.Join(err, err2)
	for _, dir := range append(old, unfinished...) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

func bootstrapFlags(suite, tree string) []string {
	flags := []string{
		"--quiet", "--mode=root", "--variant=minbase", "--include=" + strings.Join(packages, ","),
		`--aptopt=APT::Install-Recommends "false"`, `--aptopt=Acquire::Retries "5"`,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/i18n/*",
		// dpkg must not ask about configuration files.
		"--dpkgopt=force-confold",
		`--setup-hook=mkdir -p "$1"/etc/initramfs-tools; echo update_initramfs=no > "$1"/etc/initramfs-tools/update-initramfs.conf`,
		`--customize-hook=guest/setup "$1"`,
	}
	return append(flags, suite, tree)
}

// bootstrap creates the files of an image.
func bootstrap(suite string, on machine, dir string) error {
	tree, err := os.MkdirTemp("", "onggi-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	flags, extract := bootstrapFlags(suite, tree), extractKernel
	if on.goarch != amd64.goarch {
		flags, extract = append(on.bootstrapFlags(suite, tree), mirror(suite)...), copyFileTo
	}
	// The recipe mounts file systems in the tree: in a mount namespace of its own, not in the host's.
	if err := command("unshare", append([]string{"--mount", "mmdebstrap"}, flags...)...); err != nil {
		return err
	}
	kernels, err := filepath.Glob(filepath.Join(tree, "boot/vmlinu[xz]-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("kernels in the tree: %v; want one", kernels)
	}
	if err := extract(kernels[0], filepath.Join(dir, "vmlinux")); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(kernels[0]), err)
	}
	if initramfs := filepath.Join(tree, "boot/initramfs"); on.goarch != amd64.goarch {
		if err := errors.Join(copyFileTo(initramfs, filepath.Join(dir, "initramfs")), os.Remove(initramfs)); err != nil {
			return err
		}
	}
	root := filepath.Join(dir, "root.ext4")
	if err := command("truncate", "-s", "2G", root); err != nil {
		return err
	}
	// Nothing survives a run, so neither a journal nor checksums are useful.
	return command("mkfs.ext4", "-q", "-F", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=1,nodiscard", "-d", tree, root)
}

func copyFileTo(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// extractKernel extracts the ELF image from a bzImage. QEMU enters the ELF image at its PVH entry point. A bzImage would
// unpack itself with translated code, which takes seconds.
//
//	0x1f1  setup_sects      sectors of real-mode code behind the first
//	0x248  payload_offset   from the start of the protected-mode code, 4 bytes
//	0x24c  payload_length   4 bytes, of which the last four are the unpacked length
//
// See Documentation/arch/x86/boot.rst of the kernel.
func extractKernel(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if len(data) < 0x250 || string(data[0x202:0x206]) != "HdrS" {
		return errors.New("not a bzImage")
	}
	code := (max(int(data[0x1f1]), 4) + 1) * 512
	at := code + int(binary.LittleEndian.Uint32(data[0x248:]))
	end := at + int(binary.LittleEndian.Uint32(data[0x24c:]))
	if end > len(data) || end-at < 8 {
		return errors.New("the payload is not in the file")
	}
	return unpack(data[at:end-4], to)
}

// unpackers are the commands for the formats of a kernel's payload, by its first bytes.
var unpackers = []struct {
	magic   string
	command []string
}{
	{"\x02\x21\x4c\x18", []string{"lz4", "-dc"}}, // the legacy format
	{"\x28\xb5\x2f\xfd", []string{"zstd", "-dcq"}},
	{"\xfd7zXZ", []string{"xz", "-dcq", "--single-stream"}},
}

func unpack(payload []byte, to string) error {
	for _, u := range unpackers {
		if !bytes.HasPrefix(payload, []byte(u.magic)) {
			continue
		}
		cmd := exec.Command(u.command[0], u.command[1:]...)
		cmd.Stdin = bytes.NewReader(payload)
		elf, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", u.command[0], err)
		}
		return os.WriteFile(to, elf, 0o644)
	}
	return fmt.Errorf("unknown compression % x", payload[:4])
}

// command runs a program and shows its output only if it fails.
func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, said.Bytes())
	}
	return nil
}
