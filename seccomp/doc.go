// Package seccomp turns the linux.seccomp section of config.json into the
// bytes that seccomp(2) loads.
//
// Its one rule: a filter is a value. Nothing here loads a filter, keeps state
// or touches the calling process; [Compile] takes a profile and returns the
// program and the flags, and the caller carries them to the process that is to
// be confined.
//
//	profile ──translate──> ruleset ──helper (libseccomp)──> BPF ──ENOSYS tail──> Filter
//	           pure Go                cgo, elsewhere                pure Go
//
// libseccomp is C. Package seccomp/helper has it, by its Go binding, in one of
// three ways: linked in where there is cgo; in a program that is embedded and
// started for the milliseconds of a compilation, which is how `make` builds
// onggi; or not at all, and then [Compile] says so. Package internal/ruleset asks it, in
// numbers, and checks what comes back. The same profile gives the same bytes in
// either way.
//
// # The cache
//
// [Cache] keeps compiled filters by a hash of the profile's own bytes, so that
// the usual start of a container neither decodes the profile nor starts the
// helper. Whatever is wrong with an entry or its directory, the filter is
// compiled again: a cache is never a reason to fail.
//
// # Notification
//
// A filter with SCMP_ACT_NOTIFY rules has [Filter.Listener] set; the descriptor
// that loading it returns goes to the profile's listenerPath by [SendListener].
//
// # What libseccomp does not do
//
// What several rules for one syscall mean together is libseccomp's affair, here
// as in every runtime that uses it. Measured with 2.5.4: rules that compare for
// equality, and all profiles that engines ship, come out as written; rules with
// orderings against values of different upper halves, or with two or more
// conditions each, may not, in either direction, and a few keep it busy for
// ever. The helper is then ended at its deadline; libseccomp that is linked in
// cannot be.
//
// Read on in filter.go, then translate.go, enosys.go and cache.go.
package seccomp
