// Package seccomp turns the linux.seccomp section of config.json into the
// bytes that seccomp(2) loads.
//
// Its one rule: a filter is a value. Nothing here loads a filter, keeps state
// or touches the calling process; [Compile] takes a profile and returns the
// program and the flags, and the caller carries them to the process that is to
// be confined.
//
//	profile ──translate──> ruleset ──build (libseccomp)──> BPF ──ENOSYS tail──> Filter
//	           pure Go                  one of three              pure Go
//
// # Where libseccomp runs
//
// Linking C into a Go program costs a millisecond at each start, and a runtime
// is started several times for each container. So the package has one API and
// three builds of the middle step:
//
//   - with cgo, libseccomp is linked in and called directly (build_cgo.go);
//   - without cgo and with the tag seccomp_helper, it lives in a small static
//     executable that is embedded, compressed, in the program, and runs from a
//     sealed memfd for the few milliseconds of a compilation (build_helper.go);
//   - with neither, [Compile] says that it cannot (build_none.go).
//
// All three share the translation before and the tail after, so the same
// profile gives the same bytes. The release build is the second:
//
//	CGO_ENABLED=1 go build -trimpath -tags netgo,osusergo \
//		-ldflags '-s -w -linkmode external -extldflags "-static"' \
//		-o bin/helper ./seccomp/helper
//	gzip -9 -n -c bin/helper > seccomp/helper.gz
//	CGO_ENABLED=0 go build -trimpath -tags seccomp_helper ./cmd/onggi
//
// For another machine, GOARCH and a cross compiler with its libseccomp are
// added to the first line; for arm64 on Debian (libseccomp-dev:arm64):
//
//	GOARCH=arm64 CC=aarch64-linux-gnu-gcc \
//	PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig
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
