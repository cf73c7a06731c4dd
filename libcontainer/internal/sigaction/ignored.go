package sigaction

import (
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"
)

// Ignored lists the signals that this process ignores, because it was started so
// (nohup) or asked for it. execve(2) passes them on.
func Ignored() (list []unix.Signal) {
	for sig := unix.Signal(1); sig <= signals; sig++ {
		if isIgnored(sig) {
			list = append(list, sig)
		}
	}
	return list
}

// isIgnored asks the kernel only where the Go runtime does not know. The runtime
// gives all other signals a handler before main begins, and knows what os/signal
// has changed since. C code may change actions too.
func isIgnored(sig unix.Signal) bool {
	if signal.Ignored(sig) {
		return true
	}
	if !hasC && !slices.Contains(unhandled, sig) {
		return false
	}
	a, err := getAction(sig)
	return err == nil && a.handler == ignore
}

// unhandled are the signals without a handler of the Go runtime (its sigtab_linux_generic.go:
// job control, and those that C libraries use themselves). SIGHUP and SIGINT have
// none if the process was started with them ignored; os/signal knows this.
var unhandled = []unix.Signal{unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, 32, 33, 34}
