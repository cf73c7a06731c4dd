// Package proc identifies processes and waits for them. Its one rule: a number
// is not a process.
//
// A pid may belong to another process by the time it is used. The state keeps an
// Identity, which belongs to one process of one boot. All other code uses a
// pidfd that was opened from it:
//
//	Identity  the stored form: pid, boot id, pidfs inode or start time
//	Open      returns a pidfd for an Identity, or ErrGone
//	Wait      waits until the process of a pidfd has ended; Reap is for children, ExitStatus for others
//	Stat      has the necessary fields of /proc/<pid>/stat
//	Poll      poll(2) that a context can end; nothing here sleeps
//	WriteFile writes a file of a process, such as an id map
//
// Start with identity.go.
package proc
