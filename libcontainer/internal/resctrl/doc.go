// Package resctrl assigns containers to classes of service of Intel's Resource
// Director Technology and its like (config-linux.md, "IntelRdt"; the kernel's
// Documentation/filesystems/resctrl.rst). Its one rule: a directory that the
// runtime has not made is never removed, and one that has a closID neither, for
// it is others' too.
//
// A Group is decided on first (Host.Group), recorded by the caller, and made
// then (Group.Create).
package resctrl
