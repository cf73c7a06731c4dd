package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/specconv"
)

func specCommand() command {
	return command{
		Name:    "spec",
		Summary: "write a config.json to begin with",
		Detail: `The container in it runs sh in rootfs/. spec does not overwrite an existing
file.

    mkdir -p bundle/rootfs
    docker export $(docker create busybox) | tar -C bundle/rootfs -x
    onggi spec --bundle bundle
    onggi run --bundle bundle first`,
		Manual: cli.Manual{Files: bundleFiles, Examples: `A first container without an image, of a static busybox:

    mkdir -p hello/rootfs/bin
    cp /bin/busybox hello/rootfs/bin/sh
    cd hello
    onggi spec
    onggi run hello

For an ordinary user:

    onggi spec --rootless`},
		Define: defineSpec,
	}
}

func defineSpec(f *flags) action {
	var bundle string
	var rootless bool
	f.String(&bundle, "bundle", "b", "DIR", "where to write it (default: the working directory)")
	f.Bool(&rootless, "rootless", "", "describe a container that an ordinary user can run")
	return func(c *call) error {
		example := specconv.Example()
		if rootless {
			specconv.Rootless(example, uint32(os.Geteuid()), uint32(os.Getegid()))
		}
		if onlyCgroup2() {
			example.Linux.Namespaces = append(example.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
		raw, err := json.MarshalIndent(example, "", "\t")
		if err != nil {
			return err
		}
		return writeNew(filepath.Join(bundle, "config.json"), append(raw, '\n'))
	}
}

// onlyCgroup2 reports whether the host has only the cgroup2 hierarchy. Then a container can have
// a cgroup namespace and see only its own part.
func onlyCgroup2() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// writeNew writes a file that must not exist.
func writeNew(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: File config.json exists. Remove it first", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Close())
}
