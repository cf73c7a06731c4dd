// Package bounded has calls and contexts that wait for a bounded time, or not at
// all.
//
// A volume or a root file system may be on a file system that does not answer. A
// thread that waits for it takes no signal, and a process ends only with all its
// threads. The one rule here: no thread waits for a file system. What is not in
// the kernel's memory is opened by another process.
package bounded
