// Package conformance runs the validation programs of
// github.com/opencontainers/runtime-tools, the suite of the authors of the
// runtime specification, against the built binary.
//
//	go test                        in this directory, as root; onggi, built by make
//	RUNTIME=/usr/sbin/runc go test  another runtime, with the differences known of onggi
//
// go.mod pins the suite and lists its programs as tools, so that the go command
// builds them. [TestProgramsAreListed] compares that list with the suite. Each
// program runs in a room of its own (room_test.go): mount, pid and cgroup
// namespaces, with /run and bundles on file systems that vanish with them.
// tap_test.go parses the output. Each result other than a pass has to stand in the
// table of known differences with its reason (known_test.go). The table is exact:
// an unlisted difference fails the test, and a listed one that no longer occurs
// fails it too. A program must leave nothing in its room.
// occurs. A program must leave nothing in its room.
package conformance
