// Package helper asks libseccomp for a filter, and package regexp for the
// matches of a regular expression.
//
// An engine starts the runtime several times for each container. Linked into the
// runtime, cgo would add a millisecond to each start, and package regexp a
// fifteenth of one. So the package has one API and three builds:
//
//   - with cgo, libseccomp is linked in (run_cgo.go): a plain `go build`;
//   - without cgo and with the tag onggi_helper, a static program is embedded. It
//     runs from a sealed memfd for the milliseconds of an answer
//     (run_embedded.go): `make` builds that program and leaves it here;
//   - with neither, every question gets an error (run_none.go).
//
// The first two use the same code (internal/answer), with the same bytes as input
// and output. The program (internal/program) is that code; it also closes
// inherited descriptors and sets two limits. Package internal/wire draws the
// bytes.
//
// The embedded program is not compressed. It takes 2.3 MB more on the disk, which
// a start does not read, and saves the 30 ms of a decompression.
package helper
