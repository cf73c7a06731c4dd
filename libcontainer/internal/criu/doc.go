// Package criu speaks with CRIU, the program that writes processes to disk and
// restores them (criu.org). Its one rule: CRIU may send wrong messages, die or fall
// silent. Messages have a bounded length. An unexpected message is an error. Each
// wait ends when the process dies or makes no progress.
//
//	Find       looks CRIU up in PATH
//	Socket     returns the two ends of the connection
//	Spawn      starts `criu swrk` for a dump; for a restore, the engine starts it
//	Conn.Do    sends one request and passes the notifications to the caller
//	Cause      finds the cause of a failure in CRIU's log
//	Externals  returns the mounts that CRIU must not dump
//
// The messages are those of github.com/checkpoint-restore/go-criu (rpc.proto).
// Start with conn.go.
package criu
