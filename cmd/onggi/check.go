package main

import (
	"fmt"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func checkCommand() command {
	return command{
		Name: "check", Args: "[bundle]", Max: 1,
		Summary: "list faults of a bundle, and features that this host lacks",
		Detail: `Reads the bundle (default: the working directory) and this host. Prints every
reason why create would fail, and every warning. It changes nothing. The exit
status is 1 if create would fail. check does not look for the program, because
only the container's mounts show whether it exists.`,
		Manual: cli.Manual{
			Status: "0 if check finds no reason for create to fail, with warnings or without; else 1.",
			Files:  bundleFiles,
			Examples: `    onggi check /srv/web

Before the configuration is put in place:

    onggi check --config new.json /srv/web &&
        mv new.json /srv/web/config.json`,
		},
		Define: defineCheck,
	}
}

func defineCheck(f *flags) action {
	var o libcontainer.CreateOptions
	format := "text"
	f.String(&o.ConfigFile, "config", "f", "FILE", "configuration in place of config.json in the bundle")
	f.Choice(&format, "format", "", "form of the findings", "text", "json")
	return func(c *call) error {
		if len(c.args) > 0 {
			o.Bundle = c.args[0]
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		findings, err := r.Check(c.ctx, o)
		if err != nil {
			return err
		}
		if err := printFindings(c, findings, format); err != nil {
			return err
		}
		for _, f := range findings {
			if !f.Warning {
				return exitStatus(1)
			}
		}
		return nil
	}
}

func printFindings(c *call, findings []libcontainer.Finding, format string) error {
	if format == "json" {
		if findings == nil {
			findings = []libcontainer.Finding{}
		}
		return printJSON(c.std.out, findings, "  ")
	}
	for _, f := range findings {
		if _, err := fmt.Fprintln(c.std.out, printable(f.String())); err != nil {
			return err
		}
	}
	return nil
}
