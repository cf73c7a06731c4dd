// Package inherited knows what this process was started with and Go has changed
// since: package syscall raises the soft limit on descriptors to one below the
// hard one, and its own fork alone knows what was before.
//
// It has to be initialized before syscall, and is: it imports nothing, and of
// the packages that could be next the first by import path comes first (The Go
// Programming Language Specification, "Program initialization").
package inherited

// Limit is a struct rlimit (getrlimit(2)).
type Limit struct{ Soft, Hard uint64 }

var descriptors = getNoFile()

// NoFile is RLIMIT_NOFILE as execve left it.
func NoFile() Limit { return descriptors }

// Raised tells whether now is what Go has made of the limit, and nobody else:
// one below the hard limit is its mark (syscall/rlimit.go).
func (l Limit) Raised(now Limit) bool {
	return l.Soft < l.Hard && now == Limit{Soft: l.Hard - 1, Hard: l.Hard} && now != l
}

func getNoFile() (l Limit) {
	prlimit(&l)
	return l
}

// prlimit asks for RLIMIT_NOFILE of this process.
//
//go:noescape
func prlimit(l *Limit)
