// Package dcache opens paths that the kernel has in its directory cache, and never
// waits for a file system.
//
// A volume or a root file system may be on a file system that does not answer. A
// thread that waits for it takes no signal, and a process ends only with all its
// threads. So no thread of the runtime waits for such a file system: another process
// opens a path that is not in the cache (engine.OpenPath).
package dcache
