package main

import (
	"io"
	"strings"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
)

func planCommand() command {
	return command{
		Name: "plan", Args: "[container-id]", Max: 1,
		Summary: "print the steps that create would take",
		Detail: `Reads the bundle and prints, in order, the steps from the start of the first
process to the container's program. It changes nothing and needs no privileges.
The flags are those of create: replace "create" by "plan" in a command line.`,
		Manual: cli.Manual{Files: bundleFiles, Examples: `    onggi plan --bundle /srv/web web

The effect of a change in the configuration, in bash:

    diff <(onggi plan | cut -c6-) <(onggi plan -f new.json | cut -c6-)

The steps of the container side:

    onggi plan --format json |
        jq -r '.[] | select(.side == "container").text'`},
		Define: definePlan,
	}
}

func definePlan(f *flags) action {
	var o libcontainer.CreateOptions
	format, images := "text", ""
	createFlags(f, &o)
	f.Choice(&format, "format", "", "form of the plan", "text", "json")
	f.String(&images, "restore", "", "IMAGES", "plan a restore from this directory, up to the start of CRIU")
	return func(c *call) error {
		id := "container" // some steps contain the id
		if len(c.args) > 0 {
			id = c.args[0]
		}
		r, err := c.runtime()
		if err != nil {
			return err
		}
		plan, err := planOf(r, o, id, images)
		if err != nil {
			return err
		}
		if format == "json" {
			return printJSON(c.std.out, plan, "  ")
		}
		for line := range strings.Lines(plan.String()) {
			if _, err := io.WriteString(c.std.out, shownLine(line)); err != nil {
				return err
			}
		}
		return nil
	}
}

// planOf plans a creation, or a restore if there are images.
func planOf(r *libcontainer.Runtime, o libcontainer.CreateOptions, id, images string) (*libcontainer.Plan, error) {
	if images == "" {
		return r.Plan(o, id)
	}
	return r.PlanRestore(libcontainer.RestoreOptions{CreateOptions: o, CRIUOptions: libcontainer.CRIUOptions{ImagePath: images}}, id)
}
