// Package wire is the format of the messages between the two sides of the helper.
//
// Numbers have 32 bits, values 64, both in native byte order. A text is its
// length, its bytes and a NUL, and has no other NUL. "n …" is a number, followed
// by that many elements.
//
//	filter:  1 | default action | n architecture | n name | n rule
//	  rule:  action | index of a name | n comparison
//	  comparison: argument | operator | value value
//	pattern: 2 | expression | n text
//
//	reply:   its length in bytes | status | index | errno | body
//	  body of a filter:  version number × 3 | native architecture | table | program
//	  body of a pattern: for each text, 1 if it matches, else 0
//	  body of a refused pattern: the reason, as text
//
// The table has a row for the native architecture and one for each of the
// request's. A row has the number of each name there, or -1 if there is none. All
// actions, operators and architectures are in the numbers of seccomp.h.
//
// Both sides bound the sizes and check each length before they use it. A request
// holds the profile of an unknown author. A reply comes from a process that has
// parsed such a profile.
package wire
