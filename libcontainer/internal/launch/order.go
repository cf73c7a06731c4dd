//go:build !s390x

package launch

// cloneFlags is the index of the flags among the arguments of clone(2).
const cloneFlags = 0
