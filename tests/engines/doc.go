// Package engines runs real container engines on the runtime and checks the results that their users see.
//
//	go test ./tests/engines                                        onggi, built by make
//	RUNTIME=onggi,runc,crun go test ./tests/engines -run 'TestEngines|TestTimings' -update
//	                                                               three columns, written to docs/engines/README.md
//	STARVED=1 go test ./tests/engines                              beside a busy loop for each processor; without times
//	make kubernetes                                                CRI-O, critest and a kubelet, built from their modules
//
// Its one rule: each engine has exactly the configuration of docs/engines. The suite extracts the files from these pages,
// writes them to their places, and installs the runtime in /usr/local/sbin.
//
// All of this happens in a sandbox: namespaces for mounts, network, processes and cgroups, with overlays on /etc, /var and
// /usr/local/sbin, and a /run of its own. The suite never changes the machine's services, firewall and forwarding. When the
// first process of the sandbox ends, the kernel ends all its processes.
//
// Start with engine_test.go. Each engine has a file with its cases.
package engines
