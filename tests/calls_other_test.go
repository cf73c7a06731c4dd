//go:build !amd64 && !s390x && !ppc64le

package tests

// sysMkdir is no system call: programs call mkdirat(2).
const sysMkdir = -1
