package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/seccomp/helper"
)

// The linker sets these by -X main.version=… -X main.commit=… -X main.patch=…; otherwise they are empty.
var version, commit, patch string

func versionCommand() command {
	return command{
		Name:    "version",
		Summary: "print the version",
		Define:  func(*flags) action { return func(c *call) error { return printVersion(c) } },
	}
}

// printVersion prints the version in runc's form. go-runc and dockerd parse it: first the name and
// "version", then one key a line.
func printVersion(c *call) error {
	var b strings.Builder
	fmt.Fprintf(&b, "onggi version %s\n", versionName())
	fmt.Fprintf(&b, "commit: %s\nspec: %s\ngo: %s\nmachine: %s\nlibseccomp: %s\n",
		commitID(), specs.Version, toolchain(), runtime.GOARCH, libseccomp(c))
	_, err := io.WriteString(c.std.out, b.String())
	return err
}

// toolchain returns the version of Go, and says whether its runtime is patched.
func toolchain() string {
	if patch == "" {
		return runtime.Version()
	}
	return runtime.Version() + ", without the CPU limit lookup"
}

// libseccomp returns the version of libseccomp and how this program gets it. This tells whether make
// or a plain `go build` has built the program.
func libseccomp(c *call) string {
	v, err := libcontainer.SeccompVersion(c.ctx)
	if err != nil {
		return helper.Linkage
	}
	return v + ", " + helper.Linkage
}

// versionName returns the version of the release, or that of the source tree.
func versionName() string {
	if version != "" {
		return version
	}
	return libcontainer.Version()
}

// commitID returns the commit of the source, if the build has recorded one.
func commitID() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
