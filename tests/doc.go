// Package tests runs the built binary as an engine does, as root, on a real kernel.
//
//	go test ./tests                           onggi, built by make, on this machine's cgroup layout
//	LAYOUT=v2 go test ./tests                 the same in a private mount namespace with pure cgroup v2
//	RUNTIME=/usr/sbin/runc go test ./tests    another runtime; its known faults are skipped by name
//
// # The one rule
//
// A test leaves nothing behind. Every container has its own state root and its own cgroup. When a test ends, the harness
// looks for remaining processes, mounts, cgroups, state and descriptors (leak_test.go). The whole run happens in a private
// mount namespace with the test process as subreaper. So every stray process becomes a child of the test process, and a
// mount that a runtime makes outside a container is visible.
//
// A claim of security needs a positive control: a run in which the attack works.
//
// # A first test
//
// newContainer writes a bundle with a busybox root file system. Its arguments are edits of the default config.json. A
// container has one method for each verb.
//
//	func TestHostname(t *testing.T) {
//		c := newContainer(t, sh("hostname"), func(s *specs.Spec) { s.Hostname = "jar" })
//		want(t, "hostname", c.output(), "jar\n")
//	}
//
//	func TestKillStops(t *testing.T) {
//		c := newContainer(t, sh("sleep 1000"))
//		pid := c.up()
//		c.must("kill", c.id, "KILL")
//		want(t, "exit status", fmt.Sprint(c.reap(pid)), "137")
//	}
//
// # Helpers
//
//	harness_test.go   newContainer; verb, must (exit status 0), begin and end (in the background); run, output, create,
//	                  start, up (create and start), state, status, exec, reap, stopped; eventually (waits for a condition,
//	                  never sleeps for a fixed time), slowly (a deadline that SLOWER scales), amount (the number of
//	                  repetitions in the short, usual and long form), want, refused, kernelIs, peerFails (skips a known
//	                  fault of another runtime)
//	leak_test.go      takeStock and compare: the search for leftovers
//	spec_helpers_test.go, process helpers
//	                  fails and has (the error as an engine reads it), peersLack (skips features that only onggi has)
//	cgroup_helpers_test.go
//	                  hierarchies, cgroupDir, limit (reads a file by its v1 or v2 name), needController, needCgroupfs
//	resource_fields_test.go, resources_test.go
//	                  the table of all resource fields, and resources (an edit of linux.resources)
//	mount_test.go     mountsInside (the mounts that the container sees, parsed), source and withSource (bind sources)
//	rootless_test.go  ordinaryUser and newRootless: containers of an ordinary user
//	fuse_test.go      newVolume: a FUSE file system that answers, lies or hangs as the test wants
//	hook_test.go      hook, hooks, withHooks
//	events_test.go    await (the next event of a kind), memoryLimit
//	many_test.go      newCrowd: hundreds of containers
//	agree_test.go     random configurations, compared between runtimes
//
// # Behaviour on which users of runc rely
//
// Each of these tests runs against onggi, runc and crun, by RUNTIME. A test skips a peer that behaves differently and names
// the difference (peerFails, peersLack).
//
//	flags of a bind mount                      TestFlagsOfABindMount, TestScriptOnANoexecSource
//	propagation of binds and their submounts   TestNothingMountedInsideReachesTheHost
//	options and sources of any length          TestOptionsLongerThanFsconfigTakes
//	/dev/ptmx among the devices                TestPtmxAmongTheDevices
//	/dev/core without /proc/kcore              TestCoreIsALinkWhereTheKernelHasIt
//	a destination with the rootfs in it        TestADestinationWithThePathOfTheRootfs
//	masked paths given twice                   TestAPathThatIsMaskedTwice
//	a cgroup mount of an ordinary user         TestRootlessMountOfCgroups
//	special files and tmpcopyup                TestTmpcopyupOfSpecialFiles
//	affinity of exec                           TestExecIsFreeOfTheCallersAffinity
//	kill of a created container                TestKillOfACreatedContainer
//	kill after the first process               TestKillOfWhatOutlivesTheFirstProcess
//	terminal with redirected output            TestRedirectedOutputOfATerminal
//	terminal without a size                    TestATerminalWithoutASizeLeavesConsoleSize
//	terminal on the host's /dev                TestATerminalOnTheHostsDev
//	terminal that hangs up, reader that ends   TestTheCallersTerminalHangsUp, TestTheReaderOfATerminalsOutputEnds
//	owners of the standard streams             TestStandardStreamsOfAnotherUser
//	group of exec --user                       TestExecUserKeepsTheGroup
//	exec --cap                                 TestExecCapabilityIsAmbientWithAnInheritableSet
//	environment of hooks                       TestEnvironmentOfHooks
//	hooks beside a seccomp agent               TestRootlessNotifyWithAStartContainerHook
//	a cgroup2 hierarchy of others              TestRootlessBesideAForeignUnifiedHierarchy
//	exec into the first process's cgroup       TestExecWhereTheFirstProcessIs
//	pids.limit of 0                            TestPidsLimitOfZero, TestUpdateOfThePidsLimitToZero
//	names in config.json                       TestNamesInConfigThatAreMisspelt
//	system calls of a seccomp agent            TestSeccompNotifyOfReadAndExecve
//	device access "rwa"                        TestDeviceAccessThatSaysAll
//	no mount namespace                         TestMountsWithoutMountNamespace
//	another container's user namespace         TestRootlessJoinsAUserNamespaceWithoutGroups
//	a root without a directory, help           TestListOfARootThatIsNotThere, TestHelpHasRuncsHeadings
//	the oom event                              TestOOMEventIsRuncs
//	words and exit statuses by situation       TestWords (docs/errors.md)
//	fields of mistakes                         TestMistakesNameTheirField, TestListsAsLongAsTheKernelTakes
//	either side slow at any step               TestEitherSideMayBeSlow
//	exit statuses that engines make            TestStatuses (directory engines)
//	images as mounts of Podman                 TestEngines/podman (directory engines)
//
// The program in the directory probe runs inside containers and plays the process, honest or hostile. The directories
// engines, vm, conformance, packages, shim, fault and bench have a doc.go of their own.
package tests
