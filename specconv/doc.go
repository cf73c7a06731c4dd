// Package specconv turns config.json into values that the rest of onggi can
// trust.
//
// It is the reading half of the runtime. [Load] decodes the file. [Validate]
// finds all problems in it and reports them at once, each with the JSON pointer
// of its field. The tables translate the names of the OCI runtime specification
// into the numbers of the kernel ([ParseMountOptions], [CapabilityMask],
// [RlimitResource], [NamespaceFlag], [SysctlPath] and others). [Example] is the
// configuration that `onggi spec` writes.
//
// # The one rule
//
// Only Load touches the file system, and it only reads the given file. All other
// functions depend on their arguments alone. So they work the same without
// privileges, on another host and in a test. The caller checks the facts that
// depend on the host: whether the root file system exists, whether a path is a
// network namespace, whether the build supports seccomp.
//
// # Files
//
//	load.go        the file
//	decode.go      the JSON
//	validate.go    the checks, with the table of contents
//	mount.go       mount options
//	names.go       the other tables
//	namespace.go   the namespace of a type
//	hooks.go       the hooks of a kind
//	sysctl.go      sysctl keys
//	annotation.go  the annotations that onggi knows
//	bandwidth.go   the values of the network annotations
//	example.go     the default configuration
package specconv
