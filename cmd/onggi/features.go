package main

import "github.com/onggi-dev/onggi/libcontainer"

func featuresCommand() command {
	return command{
		name:    "features",
		summary: "print what this runtime supports, as JSON",
		detail:  "The form is that of features.md in the OCI runtime specification.",
		define:  func(*flags) action { return printFeatures },
	}
}

func printFeatures(c *call) error {
	features := libcontainer.Features()
	features.Annotations["dev.onggi.version"] = versionName()
	features.Annotations["dev.onggi.commit"] = commitID()
	return printJSON(c.std.out, features, "    ")
}
