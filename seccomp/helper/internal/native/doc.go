// Package native is the C of the helper, and for programs with cgo a call of
// it. It is the only package that links C, and is empty without cgo.
//
// answer.c reads requests and makes replies, filter.c asks libseccomp,
// pattern.c the C library. main.c makes a program of them, for which there is
// the Makefile; the go command leaves it out.
package native
