package plan

import "strings"

// JoinResctrl puts the stub into a class of service, and into a monitoring
// group of it; its children are born there.
type JoinResctrl struct {
	runtimeStep
	Dirs []string
}

func (s JoinResctrl) String() string { return "enter " + strings.Join(s.Dirs, ", ") }

// joinResctrl stands before all that makes processes.
func (b *builder) joinResctrl(dirs []string) {
	if len(dirs) > 0 {
		b.add("/linux/intelRdt", JoinResctrl{Dirs: dirs})
	}
}
