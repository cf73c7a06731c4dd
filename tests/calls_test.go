//go:build amd64 || s390x || ppc64le

package tests

import "golang.org/x/sys/unix"

// sysMkdir is the number of mkdir(2), which newer machines do not have.
const sysMkdir = unix.SYS_MKDIR
