package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer"
)

// What the linker was told, -X main.version=… -X main.commit=…; else empty.
var version, commit string

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
	fmt.Fprintf(&b, "commit: %s\nspec: %s\ngo: %s\n", commitID(), specs.Version, runtime.Version())
	if v, err := libcontainer.SeccompVersion(c.ctx); err == nil {
		fmt.Fprintf(&b, "libseccomp: %s\n", v)
	}
	_, err := io.WriteString(c.std.out, b.String())
	return err
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
