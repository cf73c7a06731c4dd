// Package engine walks a plan: it gives each step its meaning, as calls of a
// remote batch or as work on the runtime side, and finds another way where
// reality differs from the common path.
//
// # The one rule
//
// This is the only place with a type switch over steps (steps.go). Steps are
// added to one batch as long as nothing has to be known or done on the
// runtime side in between, so that a whole set-up is three to five round
// trips. When a call fails, everything before its step has been done and
// nothing behind it: the step's slow path puts in order what is missing (a
// mountpoint, say) and the walk goes on from that step.
//
// walk.go has the walk, steps.go the switch; mounts.go, devices.go, masks.go,
// terminal.go and process.go the container side by subject; mountpoint.go the
// slow path of missing mountpoints; runtime.go what is done on the host;
// last.go the last batch, which waits at the gate.
package engine
