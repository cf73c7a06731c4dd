// Package specconv turns config.json into values the rest of onggi can trust.
//
// It is the reading half of the runtime: [Load] decodes the file, [Validate]
// finds everything that is wrong with it and reports it all at once, each
// problem with the JSON pointer of its field, and the tables translate the
// names of the OCI runtime specification into the numbers of the kernel
// ([ParseMountOptions], [CapabilityMask], [RlimitResource], [NamespaceFlag],
// [SysctlPath] and their like). [Example] is what `onggi spec` writes.
//
// The one rule: only Load touches the file system, and only to read the file
// it is given. Everything else is a pure function of its arguments, so it
// works the same without privileges, on another host, and in a test. What
// depends on the host (does the root file system exist, is that path a network
// namespace, is seccomp compiled in) is the business of whoever asks.
//
// Where to look: load.go for the file, decode.go for the JSON, validate.go for
// the table of contents of the checks, mount.go for mount options, names.go
// for the other tables, sysctl.go for sysctl keys, example.go for the default
// configuration.
package specconv
