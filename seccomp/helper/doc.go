// Package helper asks libseccomp for a filter, and package regexp for the
// matches of a regular expression.
//
// Both are dear at each start, C by a millisecond and package regexp by a
// fifteenth of one, and a runtime is started several times for each container.
// So the package has one API and three builds:
//
//   - with cgo, libseccomp is linked in and called (run_cgo.go): a plain
//     `go build`;
//   - without cgo and with the tag onggi_helper, a static program is embedded,
//     and runs from a sealed memfd for the milliseconds of an answer
//     (run_embedded.go): `make` builds that program and leaves it here;
//   - with neither, every question is answered with an error (run_none.go).
//
// The first two are the same code (internal/answer), which gets the same bytes
// and gives the same bytes. The program (internal/program) is that code, a close
// of the descriptors and two limits. Package internal/wire draws the bytes.
//
// The embedded program is not compressed: 2.3 MB more on the disk, which a start
// does not read, are worth the 30 ms of a decompression.
package helper
