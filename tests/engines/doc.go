// Package engines runs real container engines on the runtime and looks at what their users see.
//
//	go test ./tests/engines                                        onggi, built by make
//	RUNTIME=onggi,runc,crun go test ./tests/engines -v -update     three columns, written to docs/engines/README.md
//	STARVED=1 go test ./tests/engines                              beside a busy loop for each processor; without times
//
// Its one rule: an engine is configured with what docs/engines says, to the letter. The suite takes the configuration
// out of those pages, puts it where they say it belongs, and puts the runtime at /usr/local/sbin.
//
// All of that happens in a sandbox: namespaces for mounts, network, processes and cgroups, with /etc, /var and
// /usr/local/sbin overlaid and a /run of its own. The machine's services, firewall and forwarding are never touched, and
// when the first process of the sandbox is gone, so is everything it started.
//
// Start at engine_test.go; every engine has a file with its cases.
package engines
