// Package vm boots Debian kernels under QEMU and runs the integration tests inside.
//
//	go test ./tests/vm                                                        all guests, as root
//	go test ./tests/vm -run 'TestGuests/v2-6.1$/cgroupfs/TestUpdate' -v       one test (or pattern) in one guest
//	go test ./tests/vm -update                                                all guests, and write the table to docs/cgroups.md
//
// A guest is a kernel, a cgroup layout, and an init: systemd, or a shell script that mounts the necessary file systems.
// A guest runs the integration tests once for each driver. guests_test.go has the selection and its reasons.
//
// The one rule: a guest gets the same binaries as every other run. The runtime, the compiled tests and the probe are
// built on the host and travel on a disk. The image has Debian's packages and files of the directory guest. It stays in
// tests/.cache under the hash of its recipe, and no run writes to it.
//
// CI machines have no KVM. QEMU translates all instructions of a guest, so a guest is 10 to 20 times slower than its host.
// SLOWER scales the deadlines of the tests, and no test in a guest measures speed.
//
// Start at guests_test.go; then, in the order of a run: image_test.go, payload_test.go, machine_test.go, report_test.go.
package vm
