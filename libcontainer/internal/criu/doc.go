// Package criu speaks with CRIU, the program that writes processes to disk and
// restores them (criu.org). Its one rule: the other side may lie, die or fall
// silent. Messages have a bounded length, an unexpected one is an error, and each
// wait ends with the process or with its progress.
//
//	Find      looks CRIU up in PATH
//	Socket    the two ends of the connection
//	Spawn     starts `criu swrk` for a dump; a restore starts it by the engine
//	Conn.Do   sends one request and answers its notifications
//	Cause     finds the cause of a failure in CRIU's log
//	Classify  tells the mounts that CRIU may not dump from the others
//
// The messages are those of github.com/checkpoint-restore/go-criu (rpc.proto).
// Start with conn.go.
package criu
