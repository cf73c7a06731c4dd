// Package conformance runs the validation programs of
// github.com/opencontainers/runtime-tools, the suite of the authors of the
// runtime specification, against the built binary.
//
//	go test                        in this directory, as root; onggi, built by make
//	RUNTIME=/usr/sbin/runc go test  another runtime, with the differences known of onggi
//
// go.mod pins the suite and lists its programs as tools, so that the go command
// builds them; [TestProgramsAreListed] compares that list with what the suite has.
// Each program runs in a room of its own (room_test.go): mount, pid and cgroup
// namespaces, /run and bundles on file systems that go away with them. What it
// says is parsed (tap_test.go), and what is not a pass has to stand in the table
// of known differences with its reason (known_test.go). The table is exact: a
// difference that is not in it fails the test, and so does one that is no longer
// seen. Nothing may be left in the room when a program has ended.
package conformance
