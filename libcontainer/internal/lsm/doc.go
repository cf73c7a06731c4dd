// Package lsm requests AppArmor and SELinux labels for a process. Its one rule: the
// runtime side opens the file, and the process itself writes to it.
//
// The kernel lets a process write only to its own /proc/<pid>/attr. But the process
// cannot find that file through the container's /proc, which is not trusted: a write to
// another file would leave the process unconfined. So OpenExecAttr, called with the
// runtime's procfs after the process has started its stub, returns a descriptor. The plan
// makes the process write Kind.Value to it.
//
// The package opencontainers/selinux does its part by path and in its own process.
// Linking it costs every start 0.06 ms, and 0.3 MB.
//
// The Enabled and Check methods are called only for a configuration with a label. A label
// that cannot be applied is an error; it is never left out.
package lsm
