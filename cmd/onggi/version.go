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

// The linker sets these, -X main.version=… -X main.commit=… -X main.patch=…; else they are empty.
var version, commit, patch string

func versionCommand() command {
	return command{
		name:    "version",
		summary: "print the version",
		define:  func(*flags) action { return func(c *call) error { return printVersion(c) } },
	}
}

// printVersion prints runc's lines. go-runc and dockerd parse them: the name
// and "version" first, then keys.
func printVersion(c *call) error {
	var b strings.Builder
	fmt.Fprintf(&b, "onggi version %s\n", versionName())
	fmt.Fprintf(&b, "commit: %s\nspec: %s\ngo: %s\nlibseccomp: %s\n", commitID(), specs.Version, toolchain(), libseccomp(c))
	_, err := io.WriteString(c.std.out, b.String())
	return err
}

// toolchain is the version of Go, and the patch of its runtime.
func toolchain() string {
	if patch == "" {
		return runtime.Version()
	}
	return runtime.Version() + ", without the CPU limit lookup"
}

// libseccomp is its version, and how this program came by it, which tells how
// the program was built: by make, or by a plain `go build`.
func libseccomp(c *call) string {
	v, err := libcontainer.SeccompVersion(c.ctx)
	if err != nil {
		return helper.Linkage
	}
	return v + ", " + helper.Linkage
}

// versionName is the release that was built, or the version of the source.
func versionName() string {
	if version != "" {
		return version
	}
	return libcontainer.Version()
}

// commitID is the commit of the source, as far as the build recorded one.
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
