// Package helper asks C for what Go has not: libseccomp for a filter, regcomp
// for a regular expression.
//
// Linking C into a Go program costs a millisecond at each start, and a runtime
// is started several times for each container. So the package has one API and
// three builds:
//
//   - with cgo, the C is linked in and called (run_cgo.go);
//   - without cgo and with the tag onggi_helper, it is a small static program
//     that is embedded, compressed, and runs from a sealed memfd for the few
//     milliseconds of an answer (run_embedded.go);
//   - with neither, every question is answered with an error (run_none.go).
//
// The first two are the same C (native), which gets the same bytes and gives
// the same bytes. The release build is the second; `make` makes the program
// and leaves it here as helper.gz.
//
// # Requests and replies
//
// Numbers have 32 bits, values 64, both in native byte order; a text is its
// length, its bytes and a NUL, and has no other NUL. "n …" is a number, and so
// many of what follows.
//
//	filter:  1 | default action | n architecture | n name | n rule
//	  rule:  action | index of a name | n comparison
//	  comparison: argument | operator | value value
//	pattern: 2 | expression | n text
//
//	reply:   its length in bytes | status | index | errno | body
//	  body of a filter:  version number × 3 | native architecture | table | program
//	  body of a pattern: for each text, 1 if it matches, else 0
//
// The table has a row for the native architecture and one for each of the
// request's, and in a row the number that each name has there: -1 if none. All
// actions, operators and architectures are in the numbers of seccomp.h.
//
// Both sides read what the other wrote as a stranger's. The helper is ours, but
// C parses a profile there, and an expression off a command line.
package helper
