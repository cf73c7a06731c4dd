package specconv

import specs "github.com/opencontainers/runtime-spec/specs-go"

// HookList is the hooks of one kind. Kind is the name of their list in config.json.
type HookList struct {
	Kind  string
	Hooks []specs.Hook
}

// HookLists returns the hooks of a configuration in the order in which the kinds run
// (runtime.md, "Lifecycle").
func HookLists(h *specs.Hooks) [6]HookList {
	if h == nil {
		h = &specs.Hooks{}
	}
	return [...]HookList{
		{"prestart", h.Prestart}, //nolint:staticcheck // deprecated, but dockerd 20.10 uses it
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	}
}

// Hooks returns the hooks of one kind.
func Hooks(h *specs.Hooks, kind string) []specs.Hook {
	for _, list := range HookLists(h) {
		if list.Kind == kind {
			return list.Hooks
		}
	}
	return nil
}
