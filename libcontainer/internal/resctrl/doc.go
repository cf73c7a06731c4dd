// Package resctrl assigns containers to classes of service of Intel's Resource
// Director Technology and its equivalents (config-linux.md, "IntelRdt"; the
// kernel's Documentation/filesystems/resctrl.rst). Its one rule: the runtime never
// removes a directory that it has not created, nor the directory of a closID,
// which other containers may share.
//
// Host.Group decides on a Group, the caller records it, Group.Create creates it.
// then (Group.Create).
package resctrl
