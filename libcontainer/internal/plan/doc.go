// Package plan says what is done to set a container up, and in which order.
//
// It is pure: a configuration and facts about the host go in, a list of steps
// comes out, and nothing is touched on the way. So the whole set-up can be
// printed (onggi plan), compared with a golden file, and held against the laws
// of order in a test, without privileges.
//
// # The one rule
//
// Create is the only place where the order of a container's set-up is
// written, with the reason at each line, and Exec the only one for a further
// process. A step is data in the kernel's vocabulary; it neither acts nor
// knows who will act. Package engine does, with one type switch.
//
// create.go and exec.go are the tables of contents, process.go is the last
// stretch that both share, mounts.go turns config.json's mounts into steps,
// steps.go has the steps.
package plan
