// Package vm boots Debian kernels under QEMU and runs the integration tests inside.
//
//	go test ./tests/vm                                                        all guests, as root
//	go test ./tests/vm -run 'TestGuests/v2-6.1$/cgroupfs/TestUpdate' -v       one test (or pattern) in one guest
//	go test ./tests/vm -update                                                and write the table to docs/cgroups.md
//
// A guest is a kernel, a cgroup layout, and an init: a shell script that mounts what has to be there, or systemd. It
// runs the integration tests once for each driver. What is selected, and why, is in guests_test.go.
//
// Its one rule: a guest gets the same binaries as everybody else. The runtime, the compiled tests and the probe are
// built here and travel on a disk; the image has Debian's packages and the three files of the directory guest. It is
// kept in tests/.cache under the hash of its recipe, and no run writes to it.
//
// There is no KVM where CI runs, so all instructions of a guest are translated, and it is 10 to 20 times slower than its
// host. Deadlines of the tests are scaled (SLOWER), and speed is never judged.
//
// Start at guests_test.go; then the order of a run: image_test.go, payload_test.go, machine_test.go, report_test.go.
package vm
