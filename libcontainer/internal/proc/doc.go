// Package proc holds on to processes. Its one rule: a number is not a process.
//
// A pid may be another process by the time it is used. What the state keeps is
// an Identity, which belongs to one process of one boot, and what the rest of
// the runtime works with is a pidfd got from it:
//
//	Identity  what is written down: pid, boot id, pidfs inode or start time
//	Open      Identity to pidfd, or ErrGone
//	Wait      a pidfd until its process has ended; Reap for children, ExitStatus for others
//	Stat      the few fields of /proc/<pid>/stat that are worth parsing
//	Poll      poll(2) that a context can end: nothing here sleeps
//
// identity.go is the place to start.
package proc
