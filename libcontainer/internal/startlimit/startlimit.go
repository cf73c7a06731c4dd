// Package startlimit knows the resource limits that this process was started with and
// that Go has changed since. Package syscall raises the soft limit on
// descriptors to one below the hard limit, and only its own fork knows the old
// value.
//
// The package has to be initialized before syscall. It is: it imports nothing,
// and Go initializes packages without pending imports in the order of their
// import paths (The Go Programming Language Specification, "Program
// initialization").
package startlimit

// Limit is a struct rlimit (getrlimit(2)).
type Limit struct{ Soft, Hard uint64 }

var descriptors = getNoFile()

// NoFile is RLIMIT_NOFILE as execve left it.
func NoFile() Limit { return descriptors }

// Raised reports whether Go, and nobody else, has changed the limit to now. Go
// leaves the soft limit one below the hard limit (syscall/rlimit.go).
func (l Limit) Raised(now Limit) bool {
	return l.Soft < l.Hard && now == Limit{Soft: l.Hard - 1, Hard: l.Hard} && now != l
}

func getNoFile() (l Limit) {
	prlimit(&l)
	return l
}
