// Package seccomp turns the linux.seccomp section of config.json into the
// bytes that seccomp(2) loads.
//
// Its one rule: a filter is a value. This package never loads a filter, keeps
// state or changes the calling process. [Compile] takes a profile and returns
// the program and the flags. The caller carries them to the process that is to
// be confined.
//
//	profile ──translate──> ruleset ──helper (libseccomp)──> BPF ──ENOSYS tail──> Filter
//	           pure Go                cgo, elsewhere                pure Go
//
// libseccomp is C. Package seccomp/helper reaches it through its Go binding, in
// one of three ways. With cgo, libseccomp is linked in. Built by `make`, onggi
// embeds a program with libseccomp and starts it for the milliseconds of a
// compilation. Without both, [Compile] returns an error that says so. Package
// internal/ruleset sends the question, in numbers, and checks the reply. The
// first two ways give the same bytes for the same profile.
//
// # The cache
//
// [Cache] keeps compiled filters by a hash of the profile's own bytes. So the
// usual start of a container neither decodes the profile nor starts the helper.
// If an entry or its directory is damaged or untrusted, the filter is compiled
// again: the cache never makes a call fail.
//
// # Notification
//
// A filter with SCMP_ACT_NOTIFY rules has [Filter.Listener] set. Loading it
// returns a descriptor, which [SendListener] sends to the profile's listenerPath.
//
// # What libseccomp does not do
//
// libseccomp decides the meaning of several rules for one syscall, here as in
// every runtime that uses it. Measured with 2.5.4: rules that compare for
// equality, and all profiles that engines ship, come out as written. Rules with
// orderings against values of different upper halves, or with two or more
// conditions each, may allow or deny more than written, and a few keep
// libseccomp busy for ever. Then the helper is killed at its deadline. A
// libseccomp that is linked in cannot be stopped.
//
// Read on in filter.go, then translate.go, enosys.go and cache.go.
package seccomp
