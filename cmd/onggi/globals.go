package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

// globals are the flags that go before the command.
type globals struct {
	Runtime   libcontainer.Options
	log       string
	logFormat string
	level     string
	debug     bool
	systemd   bool
	trace     string
	version   bool
}

// runtimeOptions returns the library's options before any flag is parsed.
func runtimeOptions(log *logger) libcontainer.Options {
	return libcontainer.Options{Warn: log.warn}
}

// globalFlags declares the flags that go before the command.
func globalFlags(g *globals) *flags {
	f := &flags{}
	f.Bool(&g.debug, "debug", "", "log debug messages too; the same as --log-level debug")
	f.String(&g.log, "log", "", "[file:]FILE|journald:[NAME]|syslog:[NAME]",
		"destination of log records instead of standard error: a file, or a log daemon, under a name (default: onggi)")
	f.Choice(&g.logFormat, "log-format", "", "form of the log records (default: text)", "text", "json")
	f.Choice(&g.level, "log-level", "", "least level that is logged (default: error, or warning on standard error)",
		"error", "warning", "info", "debug")
	f.String(&g.Runtime.Root, "root", "", "DIR",
		"directory of the containers' state (default: /run/onggi, or $XDG_RUNTIME_DIR/onggi for users other than root)")
	f.Bool(&g.systemd, "systemd-cgroup", "", "manage cgroups through systemd; the same as --cgroup-manager systemd")
	f.Choice(&g.Runtime.CgroupManager, "cgroup-manager", "", "manager of the cgroups (default: cgroupfs)",
		"cgroupfs", "systemd", "disabled")
	f.Add(cli.Option{
		Name: "rootless", Arg: "true|false|auto", Initial: "auto", Choices: []string{"true", "false", "auto"},
		Text: "tolerate cgroups that onggi may not write to",
		Set:  func(v string) (err error) { g.Runtime.Rootless, err = parseRootless(v); return err },
	})
	f.String(&g.trace, "trace", "", "FILE", "write a timeline of the command to this file, for onggi trace-view or Perfetto")
	f.Bool(&g.version, "version", "v", "print the version")
	return f
}

// parseRootless parses a boolean. For "auto" it returns nil.
func parseRootless(s string) (*bool, error) {
	if s == "" || s == "auto" {
		return nil, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return nil, errors.New("want one of true, false, auto")
	}
	return &b, nil
}

// combine gives flags with the same meaning one value.
func (g *globals) combine() error {
	if g.debug {
		g.level = "debug"
	}
	if g.systemd {
		if m := g.Runtime.CgroupManager; m != "" && m != "systemd" {
			return fmt.Errorf("--systemd-cgroup contradicts --cgroup-manager %s", m)
		}
		g.Runtime.CgroupManager = "systemd"
	}
	return nil
}
