package main

import (
	"runtime"

	"github.com/onggi-dev/onggi/libcontainer"
)

func featuresCommand() command {
	return command{
		Name:    "features",
		Summary: "print what this runtime supports, as JSON",
		Detail:  "The form is that of features.md in the OCI runtime specification.",
		Define:  func(*flags) action { return printFeatures },
	}
}

func printFeatures(c *call) error {
	features := libcontainer.Features()
	features.Annotations["dev.onggi.version"] = versionName()
	features.Annotations["dev.onggi.commit"] = commitID()
	features.Annotations["dev.onggi.machine"] = runtime.GOARCH
	return printJSON(c.std.out, features, "    ")
}
