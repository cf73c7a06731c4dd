package plan

import "strings"

// JoinResctrl moves the stub into a class of service and into a monitoring group
// of that class. The stub's children inherit both.
type JoinResctrl struct {
	runtimeStep
	Dirs []string
}

func (s JoinResctrl) String() string { return "enter " + strings.Join(s.Dirs, ", ") }

// joinResctrl adds the step before all steps that create processes.
func (b *builder) joinResctrl(dirs []string) {
	if len(dirs) > 0 {
		b.add("/linux/intelRdt", JoinResctrl{Dirs: dirs})
	}
}
