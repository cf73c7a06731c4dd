// Package libseccomp has libseccomp make BPF of a ruleset. It is the only
// package that links C, and is empty without cgo.
package libseccomp
